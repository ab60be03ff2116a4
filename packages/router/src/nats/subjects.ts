/** Addresses as NATS subjects and back. Subscriptions are per process: one subject per address, no wildcards but for hints. */
import { type Address, isClientId, toStoreId } from '@flotilla/base';

/** Cluster names are one token of a subject. */
export function isClusterName(text: string): boolean {
  return /^[A-Za-z0-9_-]{1,64}$/.test(text);
}

export function subjectOf(cluster: string, address: Address): string {
  switch (address.kind) {
    case 'store':
      return `flotilla.${cluster}.store.${address.storeId}.${address.channel}`;
    case 'client':
      return `flotilla.${cluster}.client.${address.clientId}`;
    case 'all-stores':
      return `flotilla.${cluster}.stores`;
  }
}

/**
 * Every frame names a reply subject under the sender's own inbox that says where the frame went: when nobody listens
 * there, the server answers on it, and the answer tells which address it was.
 */
export function hintSubjectOf(inbox: string, address: Address): string {
  switch (address.kind) {
    case 'store':
      return `${inbox}.store.${address.storeId}.${address.channel}`;
    case 'client':
      return `${inbox}.client.${address.clientId}`;
    case 'all-stores':
      return `${inbox}.stores`;
  }
}

/** The address that a hint subject names; undefined for anything else. */
export function addressOfHint(inbox: string, subject: string): Address | undefined {
  if (!subject.startsWith(`${inbox}.`)) return undefined;
  const [kind, id, channel, ...rest] = subject.slice(inbox.length + 1).split('.');
  if (rest.length > 0) return undefined;
  if (kind === 'stores' && id === undefined) return { kind: 'all-stores' };
  if (kind === 'client' && id !== undefined && channel === undefined)
    return isClientId(id) ? { kind: 'client', clientId: id } : undefined;
  if (kind !== 'store' || id === undefined) return undefined;
  if (channel !== 'raft' && channel !== 'kv' && channel !== 'bulk') return undefined;
  const storeId = Number(id);
  if (!Number.isSafeInteger(storeId) || storeId < 1 || String(storeId) !== id) return undefined;
  return { kind: 'store', storeId: toStoreId(storeId), channel };
}
