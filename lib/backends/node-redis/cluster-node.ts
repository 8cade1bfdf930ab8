import { NodeRedisConnection } from './node-redis-connection.js';
import type { Address, NodeRedisClient } from './node-redis-client.js';

/** A connection to one master of a Cluster. After its end the map says where to go. */
export class ClusterNode extends NodeRedisConnection {
  constructor(
    /** As the map calls it. */
    readonly options: Address,
    private readonly silence: number,
    private readonly make: () => NodeRedisClient,
  ) {
    super({ open: make, silence, reconnects: false });
  }

  /** Another connection to the same node, not yet connected. */
  another(): NodeRedisConnection {
    return new NodeRedisConnection({ open: this.make, silence: this.silence, reconnects: false });
  }
}
