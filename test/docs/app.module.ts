/** The module of the reader, which some programs of the docs import. */
export class AppModule {}
