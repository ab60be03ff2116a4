/**
 * How a store that was never founded becomes part of a cluster that runs: it finds the cluster, makes sure that nobody
 * counts on its number, and puts its row among the stores'. From then on it is a store without replicas.
 *
 * A store that the cluster's founding counts on is in the meta index already: it waits for its founding, which brings its
 * replicas. One whose number has the row of another disk must not join under it: what that disk promised is lost.
 */
import {
  clusterIdBytes,
  compareBytes,
  type Logger,
  metaPrefix,
  prefixSpan,
  type StoreId,
} from '@flotilla/base';
import { checkDescriptor, type RangeDescriptor, replicaOnStore } from '../range-descriptor.ts';
import { decodeRangeInfo } from '../store/meta-index.ts';
import { oldCopyError } from '../store/old-copy.ts';
import { restOfIndex } from './gather.ts';
import { type OwnRecord, strangerError } from './own-record.ts';
import type { RangeContact, RangeInfo, StoreClient } from './store-client.ts';

export interface JoiningOptions {
  readonly storeId: StoreId;
  readonly client: StoreClient;
  readonly firstRange: RangeContact;
  readonly record: OwnRecord;
  readonly logger: Logger;
  /** Founded meanwhile, or stopping. */
  readonly isOver: () => boolean;
  /** Makes the store a member without replicas. Durable when it resolves. */
  readonly join: (clusterId: Uint8Array, meta: RangeDescriptor) => Promise<void>;
}

/** Unit: ms. */
const discoverMs = 300;
const pauseMs = 700;
const scanTimeoutMs = 5000;

/** Resolves when the store has joined, was founded or stops. @throws FatalError: the number is another disk's */
export async function joinWhenPossible(options: JoiningOptions): Promise<void> {
  const { client, logger, record } = options;
  let said = '';
  while (!options.isOver()) {
    const outcome = await attempt(options);
    if (outcome === 'joined') return;
    if (outcome !== said) logger.info({ outcome }, 'store_waits_to_join');
    record.waits(outcome);
    said = outcome;
    await client.pause(pauseMs);
  }
}

async function attempt(options: JoiningOptions): Promise<string> {
  const { storeId, client, firstRange, record, logger, isOver } = options;
  const answers = (await client.discover(discoverMs)).filter(
    ({ clusterId }) => clusterId?.length === clusterIdBytes,
  );
  const ids = new Set(answers.map(({ clusterId }) => Buffer.from(clusterId).toString('hex')));
  const [clusterId] = answers;
  if (clusterId === undefined) return 'no cluster is there yet, `flotilla init` founds one';
  if (ids.size > 1) return `several clusters answer under one name: ${[...ids].join(', ')}`;
  client.adopt(clusterId.clusterId);
  for (const { meta } of answers) firstRange.learn(meta);
  const found = await record.find();
  if (found === 'unreachable') return 'the first range does not answer';
  if (found === 'stranger') throw strangerError(storeId);
  if (found === 'newer') throw oldCopyError(storeId);
  if (found === 'none') {
    const rows = await indexRows(options);
    if (rows === undefined) return 'the meta index does not answer';
    if (rows.some((info) => holdsReplica(info, storeId)))
      return 'the cluster was founded with this store: waiting for its founding to be finished';
    if (isOver()) return 'over';
    if (!(await record.write())) return 'its row is not written yet';
  }
  const meta = whereIsMeta(firstRange);
  if (meta === undefined) return 'the meta range is not found';
  if (isOver()) return 'over';
  await options.join(clusterId.clusterId, meta);
  logger.info({ clusterId: [...ids][0] }, 'store_joined');
  return 'joined';
}

/** The whole meta index. Undefined: not in time. */
async function indexRows({ client, firstRange }: JoiningOptions): Promise<RangeInfo[] | undefined> {
  const { startKey, endKey } = prefixSpan(metaPrefix);
  const firstEnd = firstRange.info?.descriptor?.endKey ?? endKey;
  const span = { startKey, endKey: compareBytes(firstEnd, endKey) < 0 ? firstEnd : endKey };
  const rows = await firstRange.scan(span, scanTimeoutMs);
  if (rows === undefined) return undefined;
  const infos = rows.map(({ value }) => decodeRangeInfo(value));
  const rest = await restOfIndex(client, infos, span.endKey);
  if (rest === undefined) return undefined;
  return [...infos, ...rest.map(({ value }) => decodeRangeInfo(value))];
}

function whereIsMeta(firstRange: RangeContact): RangeDescriptor | undefined {
  const checked = checkDescriptor(firstRange.info?.descriptor ?? {});
  return checked.ok ? checked.descriptor : undefined;
}

function holdsReplica(info: RangeInfo, storeId: StoreId): boolean {
  const checked = checkDescriptor(info.descriptor ?? {});
  return checked.ok && replicaOnStore(checked.descriptor, storeId) !== undefined;
}
