/**
 * The end of a turn: leaseholders that evaluated something propose it. What the log does not take is tried again, soon,
 * or when something was applied. One per store.
 */
import type { Clock } from '@flotilla/base';
import type { Leaseholder } from '../replica/leaseholder.ts';

/** How often unproposed commands are tried again when nothing else stirs. Unit: ms. */
const retryMs = 20;

export interface ProposerOptions {
  readonly clock: Clock;
  /** Nothing is proposed any more. */
  readonly hasFailed: () => boolean;
  readonly onFatal: (error: unknown) => void;
}

export class Proposer {
  private readonly options: ProposerOptions;
  /** Each once: `Leaseholder.awaitsProposal` says whether it is here. */
  private dirty: Leaseholder[] = [];
  private scheduled = false;
  private retryArmed = false;

  constructor(options: ProposerOptions) {
    this.options = options;
  }

  /** `leaseholder` has something to propose when this turn ends. */
  onDirty(leaseholder: Leaseholder): void {
    if (!leaseholder.awaitsProposal) {
      leaseholder.awaitsProposal = true;
      this.dirty.push(leaseholder);
    }
    if (this.scheduled) return;
    this.scheduled = true;
    this.options.clock.afterTurn(() => {
      this.scheduled = false;
      this.propose();
    });
  }

  /** There may be room in the log again. */
  onApplied(): void {
    if (this.dirty.length > 0) this.propose();
  }

  private propose(): void {
    if (this.options.hasFailed()) return;
    try {
      const { dirty } = this;
      this.dirty = [];
      for (const leaseholder of dirty) {
        leaseholder.proposeOpen();
        leaseholder.awaitsProposal = leaseholder.hasOpen;
        if (leaseholder.hasOpen) this.dirty.push(leaseholder);
      }
    } catch (error) {
      this.options.onFatal(error);
      return;
    }
    if (this.dirty.length === 0 || this.retryArmed) return;
    this.retryArmed = true;
    this.options.clock.setTimer(retryMs, () => {
      this.retryArmed = false;
      this.propose();
    });
  }
}
