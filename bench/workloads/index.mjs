import w1 from './w1-sequential.mjs';
import w2 from './w2-distinct-keys.mjs';
import w3 from './w3-one-process.mjs';
import w4 from './w4-four-processes.mjs';
import w5 from './w5-crash.mjs';
import w6 from './w6-idle-waiters.mjs';
import w7 from './w7-decorator.mjs';
import w8 from './w8-held-locks.mjs';

/**
 * @typedef {object} Workload
 * @property {string} id
 * @property {string} title
 * @property {string} file where its roles are
 * @property {Record<string, number[]>} stores which stores it runs on, with how many nodes
 * @property {(contestant: object) => boolean} [appliesTo]
 * @property {number} [rounds] how many, if not 5
 * @property {boolean} [lasts] false: its processes end after each round, and the nodes are emptied
 * @property {number} [patience] ms after which a process hangs that does not answer, if not a minute
 * @property {object[]} columns what its table shows
 * @property {(stage: import('../harness/stage.mjs').Stage) => Promise<object>} measure to its figures
 */

/** @type {Workload[]} */
export const workloads = [w1, w2, w3, w4, w5, w6, w7, w8].flat();
