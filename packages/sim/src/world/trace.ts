/**
 * The fingerprint of a run: every event is mixed into 53 bits, so that two runs of a seed can be compared at the end, and
 * printed if somebody listens.
 */

export type TraceListener = (atMs: number, host: string, what: string, digest: number) => void;

export class Trace {
  events = 0;
  private high = 0x9e37_79b9;
  private low = 0x85eb_ca6b;
  private readonly listener: TraceListener | undefined;

  constructor(listener?: TraceListener) {
    this.listener = listener;
  }

  /** @param digest 32 bits of what the event carried; 0 where it carried nothing */
  note(atMs: number, host: string, what: string, digest: number = 0): void {
    this.events++;
    this.mix(Math.round(atMs * 1000));
    this.mixText(host);
    this.mixText(what);
    this.mix(digest);
    this.listener?.(atMs, host, what, digest);
  }

  get hash(): string {
    const hex = (n: number): string => (n >>> 0).toString(16).padStart(8, '0');
    return hex(this.high) + hex(this.low);
  }

  private mixText(text: string): void {
    for (let i = 0; i < text.length; i++) this.mix(text.charCodeAt(i));
  }

  private mix(n: number): void {
    this.low = Math.imul(this.low ^ n, 0x0100_0193) ^ (this.high >>> 15);
    this.high = Math.imul(this.high + n, 0xc2b2_ae35) ^ (this.low >>> 13);
  }
}
