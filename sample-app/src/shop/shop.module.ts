import { Module, type OnModuleInit } from '@nestjs/common';
import { SettingsModule } from '../settings.module.js';
import { Settings } from '../settings.js';
import { SalesReportJob } from './sales-report.job.js';
import { ShopController } from './shop.controller.js';
import { SEATS, SHOWS } from './shows.js';
import { stockOf } from './stock/stock-of.js';
import { TicketStock } from './stock/ticket-stock.js';
import { TicketsService } from './tickets.service.js';
import { WelcomeController } from './welcome.controller.js';

@Module({
  imports: [SettingsModule],
  controllers: [WelcomeController, ShopController],
  providers: [
    {
      provide: TicketStock,
      inject: [Settings],
      useFactory: ({ store }: Settings) => stockOf(store),
    },
    TicketsService,
    SalesReportJob,
  ],
})
export class ShopModule implements OnModuleInit {
  constructor(private readonly stock: TicketStock) {}

  async onModuleInit(): Promise<void> {
    await Promise.all(SHOWS.map((show) => this.stock.open(show, SEATS)));
  }
}
