/** The key-value load over Flotilla's SDK. */
import { connect } from '@flotilla/client';
import type { KvClient } from './kv-client.ts';

export async function connectFlotilla(options: {
  readonly servers: readonly string[];
  readonly cluster: string;
  readonly timeoutMs: number;
}): Promise<KvClient> {
  const flotilla = await connect(options);
  return {
    async put(key, value, timeoutMs) {
      await flotilla.kv.put(key, value, timeoutMs === undefined ? {} : { timeoutMs });
    },
    async get(key) {
      return (await flotilla.kv.get(key)) !== undefined;
    },
    async version(key) {
      return (await flotilla.kv.get(key))?.version;
    },
    async putIfVersion(key, value, version) {
      return (await flotilla.kv.put(key, value, { ifVersion: version })).applied;
    },
    async scan(start, limit) {
      let count = 0;
      for await (const _ of flotilla.kv.scan({ start, limit })) count++;
      return count;
    },
    close: () => flotilla.close(),
  };
}
