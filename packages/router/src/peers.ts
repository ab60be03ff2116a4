/**
 * Small messages from one client process to another, by client id: at most once, in the frames of the turn. What is said is
 * the business of whoever listens to its topic; what nobody listens to is dropped. Carries nothing that has to arrive.
 */
import { kv } from '@flotilla/shard/protocol';
import type { Peers } from './router-api.ts';

type Handler = (from: string, payload: Uint8Array) => void;

export class RouterPeers implements Peers {
  readonly id: string;
  private readonly sendTo: (clientId: string, message: Uint8Array) => void;
  private readonly handlers = new Map<string, Handler>();

  constructor(id: string, sendTo: (clientId: string, message: Uint8Array) => void) {
    this.id = id;
    this.sendTo = sendTo;
  }

  send(to: string, topic: string, payload: Uint8Array): void {
    this.sendTo(to, kv.PeerMessage.encode({ topic, payload }).finish());
  }

  listen(topic: string, handler: Handler): () => void {
    this.handlers.set(topic, handler);
    return () => {
      if (this.handlers.get(topic) === handler) this.handlers.delete(topic);
    };
  }

  /** @returns false: it cannot be read */
  onMessage(from: string, message: Uint8Array): boolean {
    let decoded: ReturnType<typeof kv.PeerMessage.decode>;
    try {
      decoded = kv.PeerMessage.decode(message);
    } catch {
      return false; // bad bytes: counted by the caller
    }
    const { topic, payload } = decoded;
    this.handlers.get(topic ?? '')?.(from, Uint8Array.from(payload ?? []));
    return true;
  }
}
