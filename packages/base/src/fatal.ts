/**
 * Conditions that a process must not survive: the environment is unusable or its disk cannot be trusted. Code that
 * finds one throws `FatalError`; the composition root logs it and exits with its code. Nothing in between catches it.
 */
import { type ProbeName, probe } from './probe.ts';

/** Process exit codes. Stable; listed in `docs/operations.md`. 64..78 overlap with sysexits(3) on purpose. */
export const ExitCode = {
  ok: 0,
  /** Anything not listed below. */
  failure: 1,
  /** Wrong flags, environment or config file. */
  usage: 64,
  /** A broken invariant: our bug. */
  invariantViolation: 70,
  /** The write-ahead log is damaged at or before its last acknowledged byte. */
  walCorrupt: 71,
  /** LevelDB or a value in it is damaged or missing. */
  engineCorrupt: 72,
  /** The disk is full. */
  diskFull: 73,
  /** Any other write or sync error of the disk. */
  diskFailed: 74,
  /** The data directory belongs to another cluster or store, or is older than its identity file or other stores say. */
  identityMismatch: 75,
  /** The disk made no progress for longer than the watchdog allows. */
  diskStalled: 76,
  /** Another process holds the data directory. */
  locked: 77,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

const probeOf: ReadonlyMap<ExitCode, ProbeName> = new Map([
  [ExitCode.walCorrupt, 'walCorruptExit'],
  [ExitCode.engineCorrupt, 'engineCorruptExit'],
  [ExitCode.diskFull, 'diskFullExit'],
  [ExitCode.diskFailed, 'diskFailedExit'],
]);

export class FatalError extends Error {
  readonly exitCode: ExitCode;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(
    exitCode: ExitCode,
    message: string,
    facts: Readonly<Record<string, unknown>> = {},
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'FatalError';
    this.exitCode = exitCode;
    this.facts = facts;
    const reached = probeOf.get(exitCode);
    if (reached !== undefined) probe(reached);
  }
}

/** Maps an error of a write or sync to the exit code an operator can act on. */
export function fatalDiskError(what: string, cause: unknown): FatalError {
  const code =
    typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : '';
  const full = code === 'ENOSPC' || code === 'EDQUOT' || /No space left/i.test(String(cause));
  return new FatalError(
    full ? ExitCode.diskFull : ExitCode.diskFailed,
    `${what}: ${cause instanceof Error ? cause.message : String(cause)}`,
    { code },
    cause,
  );
}
