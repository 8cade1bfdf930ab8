/** What Nest loads only if it is installed: a bundler is to leave it alone. */
export const optionalPackages = [
  '@fastify/static',
  '@fastify/view',
  '@nestjs/microservices',
  '@nestjs/platform-socket.io',
  '@nestjs/websockets',
  'class-transformer',
  'class-validator',
];
