/**
 * Why a command gets no answer, and what to do about it, as far as stores that do answer can tell: nobody is there, the
 * cluster was never founded, stores are silent. Asks at most once, and seldom: only of commands that wait or have failed.
 */
import { DbError } from '@flotilla/base';
import type { DiscoveredStore, Router } from '@flotilla/router';
import type { ProcessConfig } from './config/settings.ts';

type Names = Pick<ProcessConfig, 'cluster' | 'nats'>;

/** How long stores have to say that they are there. Unit: ms. */
const discoverMs = 500;

/** What no waiting helps against. Undefined: nothing of the kind. */
export function hopeless(found: readonly DiscoveredStore[], names: Names): string | undefined {
  const stores = found.filter(({ storeId }) => storeId > 0);
  if (stores.length === 0)
    return (
      `no store of cluster "${names.cluster}" answers at ${names.nats.join(', ')}: ` +
      'start stores, or say which cluster it is with --cluster and --nats'
    );
  if (stores.some(({ clusterId }) => clusterId.length > 0)) return undefined;
  return `the cluster is not founded yet (${listed(stores)} wait for it): run \`flotilla init --stores ${stores.length}\``;
}

/** What stands in the way though a cluster is there. Undefined: nothing that shows. */
export function silentStores(found: readonly DiscoveredStore[]): string | undefined {
  const answering = new Set(found.map(({ storeId }) => storeId));
  const silent = [...new Set(found.flatMap(({ knownStoreIds }) => knownStoreIds))]
    .filter((storeId) => !answering.has(storeId))
    .sort((a, b) => a - b);
  if (silent.length === 0) return undefined;
  const who = listed(silent.map((storeId) => ({ storeId })));
  const verb = silent.length === 1 ? 'does' : 'do';
  return `${who} ${verb} not answer: start what does not run; \`flotilla status\` shows ranges without a leader`;
}

/** A failure for want of an answer, and what is known of the reason. Others are what they were. */
export async function explained(
  error: DbError,
  router: Pick<Router, 'discover'>,
  names: Names,
): Promise<string> {
  if (error.code !== 'UNAVAILABLE' && error.code !== 'TIMEOUT') return error.message;
  const found = await router.discover({ timeoutMs: discoverMs });
  const why = hopeless(found, names) ?? silentStores(found);
  return why === undefined ? error.message : `${error.message} (${why})`;
}

/**
 * Rejects once stores say that nothing will come of waiting; else it is pending for ever. That no store answers at all is
 * told and no more: they may be busy, or about to start.
 */
export async function hopelessness(
  router: Pick<Router, 'discover'>,
  names: Names,
  tell: (line: string) => void,
): Promise<never> {
  const found = await router.discover({ timeoutMs: discoverMs });
  const why = hopeless(found, names);
  if (why !== undefined && found.length > 0) throw new HopelessError(why);
  if (why !== undefined) tell(`still waiting: ${why}`);
  return new Promise(() => {});
}

/** Has said all there is to say. */
export class HopelessError extends DbError {
  constructor(message: string) {
    super('UNAVAILABLE', message);
  }
}

function listed(stores: readonly { readonly storeId: number }[]): string {
  return stores.map(({ storeId }) => `s${storeId}`).join(', ');
}
