/**
 * Who this data directory is: a small file outside log and engine, replaced atomically. It is what notices that a log
 * was deleted, an engine emptied or a directory mixed up, none of which LevelDB or an append-only log notice themselves.
 *
 * Form: one line of JSON, one line with the CRC-32C of the first in hex. Readable and repairable by a person.
 */
import {
  crc32c,
  type Disk,
  ExitCode,
  FatalError,
  fatalDiskError,
  type StoreId,
  toHex,
  toStoreId,
} from '@flotilla/base';
import { checkDescriptor, type RangeDescriptor } from '../range-descriptor.ts';
import type { LogStart } from './old-copy.ts';

const formatVersion = 1;

export interface Identity {
  readonly storeId: StoreId;
  /** 16 random bytes, hex: tells apart two directories with the same store id. Also in the engine. */
  readonly storeUuid: string;
  /** Starts of the process on this directory, from 1. */
  readonly incarnation: number;
  /** 32 hex digits; undefined until the store is founded, which is also when it begins to have data. */
  readonly clusterId: string | undefined;
  /** Upper bound in the last checkpoint known to be in the log: a log with less is not this store's log. */
  readonly checkpointHlc: number;
  /** Where ranges are looked up; kept for stores that hold no replica of it. */
  readonly metaDescriptor: RangeDescriptor | undefined;
  /** The first start since the cluster last agreed that this disk is the newest of its store. Undefined: it has. */
  readonly unconfirmed?: LogStart | undefined;
  /** It was proved that this disk is an old copy. It never runs again. */
  readonly outdated?: boolean | undefined;
}

export function identityPath(directory: string): string {
  return `${directory}/identity.json`;
}

/** @returns undefined if there is no file. Throws FatalError(identityMismatch) on damage or an unknown format. */
export async function readIdentity(disk: Disk, directory: string): Promise<Identity | undefined> {
  const path = identityPath(directory);
  const bytes = await disk.readFile(path);
  if (bytes === undefined) return undefined;
  const [line = '', crc = ''] = Buffer.from(bytes).toString('utf8').split('\n');
  if (crc !== crcOf(line))
    throw new FatalError(ExitCode.identityMismatch, `${path} fails its checksum`, { path });
  const raw = JSON.parse(line) as RawIdentity;
  if (raw.format !== formatVersion)
    throw new FatalError(
      ExitCode.identityMismatch,
      `${path} has format ${raw.format}; this version reads ${formatVersion}`,
      { path },
    );
  return {
    storeId: toStoreId(raw.storeId),
    storeUuid: raw.storeUuid,
    incarnation: raw.incarnation,
    clusterId: raw.clusterId,
    checkpointHlc: raw.checkpointHlc,
    metaDescriptor: raw.meta === undefined ? undefined : fromRawDescriptor(raw.meta),
    unconfirmed: raw.unconfirmed,
    outdated: raw.outdated,
  };
}

/** Durable when it resolves. */
export async function writeIdentity(
  disk: Disk,
  directory: string,
  identity: Identity,
): Promise<void> {
  const { metaDescriptor: meta, ...rest } = identity;
  const raw: RawIdentity = {
    format: formatVersion,
    ...rest,
    meta: meta && { ...meta, startKey: toHex(meta.startKey), endKey: toHex(meta.endKey) },
  };
  const line = JSON.stringify(raw);
  try {
    await disk.replaceFile(identityPath(directory), Buffer.from(`${line}\n${crcOf(line)}\n`));
  } catch (error) {
    throw fatalDiskError('writing the identity file', error);
  }
}

interface RawDescriptor {
  readonly rangeId: number;
  readonly startKey: string;
  readonly endKey: string;
  readonly generation: number;
  readonly replicas: { replicaId: number; storeId: number }[];
  readonly nextReplicaId: number;
}

interface RawIdentity {
  readonly format: number;
  readonly storeId: number;
  readonly storeUuid: string;
  readonly incarnation: number;
  readonly clusterId: string | undefined;
  readonly checkpointHlc: number;
  readonly meta?: RawDescriptor | undefined;
  readonly unconfirmed?: LogStart | undefined;
  readonly outdated?: boolean | undefined;
}

function fromRawDescriptor(raw: RawDescriptor): RangeDescriptor | undefined {
  const checked = checkDescriptor({
    ...raw,
    startKey: Buffer.from(raw.startKey, 'hex'),
    endKey: Buffer.from(raw.endKey, 'hex'),
  });
  return checked.ok ? checked.descriptor : undefined;
}

function crcOf(line: string): string {
  return crc32c(Buffer.from(line)).toString(16).padStart(8, '0');
}
