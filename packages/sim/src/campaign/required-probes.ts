/** Which rare paths a long campaign must have reached: all, but for those listed here with the reason. */
import { type ProbeName, probeNames } from '@flotilla/base';

const unreachable: { readonly [Name in ProbeName]?: string } = {};

export const requiredProbes: readonly ProbeName[] = probeNames.filter(
  (name) => unreachable[name] === undefined,
);
