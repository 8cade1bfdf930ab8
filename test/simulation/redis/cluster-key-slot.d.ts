// The package has no types of its own.
declare module 'cluster-key-slot' {
  /** The slot of a key or channel. */
  export default function slotOf(key: string): number;
}
