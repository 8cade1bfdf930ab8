/** The part of pg's client that is used. Typed by structure: pg brings no types of its own. */
export interface PostgresClient {
  query(text: string): Promise<unknown>;
  escapeLiteral(text: string): string;
  on(event: 'error', listener: (error: Error) => void): unknown;
  off(event: 'error', listener: (error: Error) => void): unknown;
}

/** A client that a pool lends. */
export interface PooledClient extends PostgresClient {
  /** @param broken closes it, instead of lending it again */
  release(broken?: boolean): void;
}

/** A client of our own. */
export interface OwnClient extends PostgresClient {
  connect(): Promise<unknown>;
  end(): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  on(event: 'notification', listener: (message: { payload?: string }) => void): unknown;
}

/** A `Pool` of pg 8. */
export interface PostgresPool {
  connect(): Promise<PooledClient>;
  /** What its clients are made of. */
  readonly options: object;
}

/** What pg's `Client` and `Pool` take. */
export interface PostgresOptions {
  host?: string | undefined;
  port?: number | undefined;
  database?: string | undefined;
  user?: string | undefined;
  password?: string | (() => string | Promise<string>) | undefined;
  connectionString?: string | undefined;
  ssl?: boolean | object | undefined;
  application_name?: string | undefined;
  /** Of the pool. */
  max?: number | undefined;
  /** All else that pg knows. */
  [option: string]: unknown;
}
