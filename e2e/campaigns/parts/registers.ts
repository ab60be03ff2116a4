/** The verdict over what readers and writers of single keys saw. */
import { checkLinearizable, checkRegisterZones, registerModel } from '@flotilla/client/testing';
import type { RegisterWorkload } from '../../harness/register-workload.ts';
import type { Campaign } from '../campaign.ts';

/** One promise for all keys: each is linearizable. */
export function promiseLinearizable(campaign: Campaign, registers: RegisterWorkload): void {
  const wrong: string[] = [];
  let operations = 0;
  for (const [key, history] of registers.histories) {
    operations += history.length;
    for (const verdict of [checkRegisterZones(history), checkLinearizable(registerModel, history)])
      if (verdict.kind !== 'ok') wrong.push(`${JSON.stringify(key)}: ${verdict.message}`);
  }
  const { size } = registers.histories;
  campaign.holds(
    'every key is linearizable',
    wrong.length === 0 ? undefined : wrong.join('; '),
    `${operations} operations on ${size} keys`,
  );
}

/** Keys that lie far apart. */
export const spreadKeys: readonly string[] = [
  ...['\u0001', ' ', 'A', 'a', '\u0080', '\u00e9', '\u0800', '\u{10000}'],
];
