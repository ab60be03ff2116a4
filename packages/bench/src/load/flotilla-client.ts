/** The key-value load over Flotilla's SDK. */
import { connect } from '@flotilla/client';
import type { KvClient } from './kv-client.ts';

export async function connectFlotilla(options: {
  readonly servers: readonly string[];
  readonly cluster: string;
}): Promise<KvClient> {
  const flotilla = await connect({ servers: [...options.servers], cluster: options.cluster });
  return {
    async put(key, value) {
      await flotilla.kv.put(key, value);
    },
    async get(key) {
      return (await flotilla.kv.get(key)) !== undefined;
    },
    close: () => flotilla.close(),
  };
}
