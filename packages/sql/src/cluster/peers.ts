/**
 * How processes that run SQL talk to each other: small messages, at most once, perhaps never. Nothing may rest on one that
 * has not come. `client` has it over the router's connection.
 */

export interface Peers {
  /** What others send to. */
  readonly id: string;
  /** @param payload a few kilobytes at most */
  send(to: string, topic: string, payload: Uint8Array): void;
  /** One handler per topic. @returns takes it away */
  listen(topic: string, handler: (from: string, payload: Uint8Array) => void): () => void;
}
