/**
 * A configuration as the data of a log entry, and back. What comes out is well formed; what is not is refused with a
 * reason. Called by the core when it appends or reads a configuration entry, and by whoever stores one. Pure.
 */
import { type ReplicaId, type StoreId, toReplicaId, toStoreId } from '@flotilla/base';
import { flotilla } from '../gen/raft.js';
import { findConfigurationFault } from './core/quorum.ts';
import type { Configuration } from './messages.ts';

const wire = flotilla.raft.Configuration;

export type ConfigurationDecodeResult =
  | { readonly ok: true; readonly configuration: Configuration }
  | { readonly ok: false; readonly reason: string };

/** Equal configurations give equal bytes. */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const { voters, votersOutgoing, learners, storeOf } = configuration;
  const members = [...storeOf]
    .sort(([one], [other]) => one - other)
    .map(([replicaId, storeId]) => ({ replicaId, storeId }));
  return wire
    .encode({
      voters: [...voters],
      votersOutgoing: [...votersOutgoing],
      learners: [...learners],
      members,
    })
    .finish();
}

/** Never throws. */
export function decodeConfiguration(bytes: Uint8Array): ConfigurationDecodeResult {
  let decoded: flotilla.raft.Configuration;
  try {
    decoded = wire.decode(bytes);
  } catch (error) {
    return { ok: false, reason: `not protobuf: ${error instanceof Error ? error.message : error}` };
  }
  const storeOf = new Map<ReplicaId, StoreId>();
  for (const member of decoded.members) {
    const replicaId = member.replicaId ?? 0;
    const storeId = member.storeId ?? 0;
    if (!isId(replicaId) || !isId(storeId)) return { ok: false, reason: 'a member is no id' };
    if (storeOf.has(toReplicaId(replicaId))) return { ok: false, reason: 'a member lives twice' };
    storeOf.set(toReplicaId(replicaId), toStoreId(storeId));
  }
  for (const set of [decoded.voters, decoded.votersOutgoing, decoded.learners])
    if (!set.every(isId)) return { ok: false, reason: 'a member is no id' };
  const configuration: Configuration = {
    voters: decoded.voters.map(toReplicaId),
    votersOutgoing: decoded.votersOutgoing.map(toReplicaId),
    learners: decoded.learners.map(toReplicaId),
    storeOf,
  };
  const reason = findConfigurationFault(configuration);
  return reason === undefined ? { ok: true, configuration } : { ok: false, reason };
}

function isId(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 1;
}
