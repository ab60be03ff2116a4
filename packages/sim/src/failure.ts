/** A run has shown a bug: of the product, or of the simulator. `kind` is what the shrinker keeps the same. */

export type FailureKind =
  /** A history that no order explains. */
  | 'linearizability'
  | 'exactlyOnce'
  /** Two keys that are always written together were seen apart. */
  | 'atomicity'
  /** Transactions saw what their isolation forbids. */
  | 'isolation'
  | 'twoLeaders'
  | 'twoLeases'
  /** A leader that was replaced confirms a read that came later. */
  | 'staleRead'
  | 'monotone'
  /** A committed entry is missing where it must be. */
  | 'committedLost'
  /** Two entries were committed at one index. */
  | 'stateMachineSafety'
  | 'logMatching'
  /** A leader removed entries of its log. */
  | 'appendOnly'
  /** Something was committed that is not on the disks of a quorum. */
  | 'commitNotDurable'
  /** What was on disk is not there any more. */
  | 'durableLost'
  | 'voteForgotten'
  /** A leader that nobody answers goes on. */
  | 'checkQuorum'
  | 'configuration'
  /** Replicas differ at equal positions. */
  | 'divergence'
  /** A key is in no range or in two, or a generation means two things. */
  | 'tiling'
  /** A replica that has left its store is there again. */
  | 'ghost'
  /** The world is well, the cluster is not. */
  | 'liveness'
  /** A process ended for no reason that a fault gave it. */
  | 'exit'
  /** A client got an error that no contract names. */
  | 'clientError'
  /** The checker ran out of budget: nothing is shown. */
  | 'undecided'
  /** Two runs of a seed differed. */
  | 'nondeterminism'
  /** The simulator itself. */
  | 'simulator';

export class SimFailure extends Error {
  readonly kind: FailureKind;

  constructor(kind: FailureKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'SimFailure';
    this.kind = kind;
  }
}
