/** Processes that talk to each other, in memory: messages arrive a little later, and some can be cut off. */
import type { Peers } from '../cluster/peers.ts';

type Handler = (from: string, payload: Uint8Array) => void;

export class MemoryPeers {
  private readonly handlers = new Map<string, Handler>();
  /** What these send, and what is sent to them, is lost. */
  readonly cut: Set<string> = new Set();

  of(id: string): Peers {
    return {
      id,
      send: (to, topic, payload) => {
        if (this.cut.has(id) || this.cut.has(to)) return;
        queueMicrotask(() => this.handlers.get(`${to} ${topic}`)?.(id, payload));
      },
      listen: (topic, handler) => {
        this.handlers.set(`${id} ${topic}`, handler);
        return () => this.handlers.delete(`${id} ${topic}`);
      },
    };
  }
}
