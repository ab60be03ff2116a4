/** Which rare paths a long campaign must have reached: all, but for those listed here with the reason. */
import { type ProbeName, probeNames } from '@flotilla/base';

/** Reported like the others; an hour may pass without them. The core's own random cluster reaches all of them. */
const seldom: { readonly [Name in ProbeName]?: string } = {
  leaderSteppedDownRemoved: 'a leader that is demoted nearly always hands leadership over first',
  learnerVoted:
    'a learner is promoted, has not heard of it, and is asked for its vote before it does',
  configurationRolledBack: 'a leader dies between appending a configuration and sending it',
};

export const requiredProbes: readonly ProbeName[] = probeNames.filter(
  (name) => seldom[name] === undefined,
);
