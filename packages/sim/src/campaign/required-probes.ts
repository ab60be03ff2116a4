/** Which rare paths a long campaign must have reached: all, but for those listed here with the reason. */
import { type ProbeName, probeNames } from '@flotilla/base';

/** Reported like the others; an hour may pass without them. */
const seldom: { readonly [Name in ProbeName]?: string } = {
  leaderSteppedDownRemoved: 'a leader that is demoted nearly always hands leadership over first',
  learnerVoted:
    'a learner is promoted, has not heard of it, and is asked for its vote before it does',
  configurationRolledBack: 'a leader dies between appending a configuration and sending it',
  splitVoid:
    'a leaseholder makes one change of a range at a time: what it proposed before is decided by then',
  writeTooLate: 'only plans of SQL bound the time of their writes, and no SQL runs here',
};

export const requiredProbes: readonly ProbeName[] = probeNames.filter(
  (name) => seldom[name] === undefined,
);
