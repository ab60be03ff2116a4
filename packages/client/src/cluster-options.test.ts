import { DbError, VolatileDisk } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import { type ClusterConnectOptions, connectionOf } from './cluster-options.ts';

const servers = 'nats://127.0.0.1:4222';

async function diskWith(files: Readonly<Record<string, string>>): Promise<VolatileDisk> {
  const disk = new VolatileDisk();
  for (const [path, content] of Object.entries(files))
    await disk.replaceFile(path, Buffer.from(content));
  return disk;
}

describe('options of a cluster', () => {
  it('are passed on, with the content of certificates', async () => {
    const disk = await diskWith({ 'c/ca.pem': 'CA', 'c/key.pem': 'KEY' });
    const tls = { caFile: 'c/ca.pem', cert: 'CERT', keyFile: 'c/key.pem' };
    expect(await connectionOf({ servers, credentialsFile: 'c/creds', tls }, disk)).toEqual({
      servers: [servers],
      credentialsFile: 'c/creds',
      tls: { ca: 'CA', cert: 'CERT', key: 'KEY' },
    });
    expect(await connectionOf({ servers: [servers, 'b'], tls: true, token: 't' }, disk)).toEqual({
      ...{ servers: [servers, 'b'], tls: {}, token: 't' },
    });
    expect(await connectionOf({ servers, tls: false, user: 'u', password: 'p' }, disk)).toEqual({
      ...{ servers: [servers], user: 'u', password: 'p' },
    });
  });

  it('are refused with a sentence where they cannot be right', async () => {
    const disk = await diskWith({ 'c/ca.pem': 'CA' });
    const cases: readonly [ClusterConnectOptions, string][] = [
      [{} as ClusterConnectOptions, 'needs the address'],
      [{ servers: [] }, 'needs the address'],
      [{ servers: [' '] }, 'needs the address'],
      [{ servers, tls: { ca: 'CA', caFile: 'c/ca.pem' } }, 'ca or caFile, not both'],
      [{ servers, tls: { cert: 'CERT' } }, 'and its key go together'],
      [{ servers, tls: { keyFile: 'c/none' } }, 'keyFile c/none is not there'],
    ];
    for (const [options, text] of cases) {
      const refused = connectionOf(options, disk);
      await expect(refused).rejects.toBeInstanceOf(DbError);
      await expect(refused).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      await expect(refused).rejects.toThrow(text);
    }
  });
});
