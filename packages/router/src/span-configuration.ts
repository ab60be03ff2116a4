/** Reads and changes what is wanted of spans of the key space: rows of the first range, compared and set. */
import { DbError, type Span } from '@flotilla/base';
import {
  changedConfiguration,
  configurationFault,
  configurationKey,
  configurationSpan,
  decodeConfigurationRow,
  encodeConfigurationRow,
  type RangeConfiguration,
  type RangeConfigurationChange,
} from '@flotilla/shard/protocol';
import type { OperationOptions, Router, WriteMutation } from './router-api.ts';

type Store = Pick<Router, 'get' | 'scan' | 'write'>;

/** Somebody else may change the same row at the same time. */
const triesMax = 5;

export async function readConfigurations(
  router: Store,
  options: OperationOptions = {},
): Promise<RangeConfiguration[]> {
  const found: RangeConfiguration[] = [];
  for await (const batch of router.scan(configurationSpan, options))
    for (const { value } of batch) {
      const configuration = decodeConfigurationRow(value);
      if (configuration !== undefined) found.push(configuration);
    }
  return found;
}

export async function configureSpan(
  router: Store,
  span: Span,
  change: RangeConfigurationChange,
  options: OperationOptions = {},
): Promise<RangeConfiguration | undefined> {
  const key = configurationKey(span);
  const { startKey, endKey } = span;
  for (let tries = 0; tries < triesMax; tries++) {
    const [row] = await router.get([key], options);
    const before = row === undefined ? undefined : decodeConfigurationRow(row.value);
    const after = changedConfiguration(before ?? { startKey, endKey }, change);
    const fault = configurationFault(after ?? { startKey, endKey });
    if (fault !== undefined) throw new DbError('INVALID_ARGUMENT', fault);
    const mutation: WriteMutation =
      after === undefined
        ? { kind: 'delete', key }
        : { kind: 'put', key, value: encodeConfigurationRow(after) };
    const condition = { kind: 'unchanged', key, timestamp: row?.timestamp ?? 0 } as const;
    const batch = { conditions: [condition], mutations: [mutation], deleteSpans: [] };
    if ((await router.write(batch, options)).applied) return after;
  }
  throw new DbError('UNAVAILABLE', 'others change the configuration of the same span');
}
