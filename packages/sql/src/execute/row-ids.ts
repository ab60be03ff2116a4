/**
 * Ids of rows without a primary key: 41 bits of milliseconds since 2020 and 22 bits that start at random in each
 * millisecond and count up. Rising within a process, so that rows lie in order of arrival; rarely equal across
 * processes, and then found out, because rows are inserted under the condition that their key is absent.
 */
import { type Clock, hlcEpochMs, type Prng } from '@flotilla/base';

const perMs = 2 ** 22;

export class ClockRowIds {
  private readonly clock: Clock;
  private readonly prng: Prng;
  private ms = 0;
  private low = 0;

  constructor(clock: Clock, prng: Prng) {
    this.clock = clock;
    this.prng = prng;
  }

  next(): bigint {
    const now = Math.max(0, Math.floor(this.clock.wallMs()) - hlcEpochMs);
    if (now > this.ms) {
      this.ms = now;
      this.low = this.prng.nextBelow(perMs / 2);
    } else {
      this.low++;
      if (this.low >= perMs) {
        this.ms++;
        this.low = 0;
      }
    }
    return (BigInt(this.ms) << 22n) | BigInt(this.low);
  }
}
