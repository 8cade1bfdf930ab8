import { Controller, Get, Header } from '@nestjs/common';
import { SHOWS } from './shows.js';

@Controller()
export class WelcomeController {
  @Get()
  @Header('Content-Type', 'text/html; charset=utf-8')
  welcome(): string {
    return `<!doctype html>
<html lang="en">
<title>Ticket shop</title>
<h1>Ticket shop</h1>
<p><a href="/locks">Locks</a> <a href="/health">Health</a> <a href="/metrics">Metrics</a></p>
<ul>${SHOWS.map(show).join('')}
</ul>
</html>
`;
  }
}

function show(name: string): string {
  return `
  <li>
    <a href="/shows/${name}">${name}: tickets left</a>
    <form method="post">
      <button formaction="/shows/${name}/tickets">Buy a ticket</button>
      <button formaction="/shows/${name}/tickets/unlocked">Buy one without the lock</button>
      <button formaction="/shows/${name}/rush">200 buyers for 100 new tickets</button>
      <button formaction="/shows/${name}/print">Print the programme (twice at a time: 409)</button>
    </form>
  </li>`;
}
