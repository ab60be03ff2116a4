import { toStoreId } from '@flotilla/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { flotilla } from '../../gen/kv.js';
import type { Discovery } from '../placement/store-client.ts';
import { haveAnswered, otherCluster, provenOld } from './hearsay.ts';
import { isOldCopy, type LogStart, type ToldLog } from './old-copy.ts';

const start = (incarnation: number, recoveredBatch: number): LogStart => ({
  incarnation,
  recoveredBatch,
});
const told = (incarnation: number, logBatch: number): ToldLog => ({ incarnation, logBatch });

describe('a log', () => {
  it('that holds what was told of it is no old copy', () => {
    expect(isOldCopy(told(3, 100), start(4, 100))).toBe(false);
    expect(isOldCopy(told(3, 100), start(4, 105))).toBe(false);
    expect(isOldCopy(told(1, 100), start(9, 500))).toBe(false);
  });

  it('that ends before what was told of it is one', () => {
    expect(isOldCopy(told(3, 101), start(4, 100))).toBe(true);
  });

  it('of which an equally late or later life was heard is one, whatever it holds', () => {
    expect(isOldCopy(told(4, 0), start(4, 100))).toBe(true);
    expect(isOldCopy(told(5, 1), start(4, 100))).toBe(true);
  });

  it('of which nothing was told is believed: whoever told was of an older version', () => {
    expect(isOldCopy(told(3, 0), start(4, 1))).toBe(false);
  });

  it('is not made good by what a life writes that nobody has confirmed', () => {
    expect(isOldCopy(told(3, 101), start(6, 300), start(4, 100))).toBe(true);
    // What such a life told itself is compared with what the present one found of it.
    expect(isOldCopy(told(5, 250), start(6, 300), start(4, 100))).toBe(false);
    expect(isOldCopy(told(5, 301), start(6, 300), start(4, 100))).toBe(true);
  });

  it('of a store that was never put back is never refused, whoever remembers what', () => {
    const life = fc.record({ written: fc.nat(5), lost: fc.nat(3), confirmed: fc.boolean() });
    fc.assert(
      fc.property(fc.array(life, { minLength: 1, maxLength: 8 }), (lives) => {
        let durable = 0;
        let unconfirmed: LogStart | undefined;
        const memories: ToldLog[] = [];
        for (const [i, { written, lost, confirmed }] of lives.entries()) {
          // Batches that were written and never told may be there after all.
          const now = start(i + 1, durable + lost);
          unconfirmed ??= now;
          for (const each of memories) expect(isOldCopy(each, now, unconfirmed)).toBe(false);
          durable = now.recoveredBatch + 1 + written;
          for (let at = now.recoveredBatch + 1; at <= durable; at++) memories.push(told(i + 1, at));
          if (confirmed) unconfirmed = undefined;
        }
      }),
    );
  });

  it('that was put back is refused at its first start after the copy, and at later ones while it is not confirmed', () => {
    fc.assert(
      fc.property(
        fc.nat(100),
        fc.integer({ min: 1, max: 100 }),
        fc.array(fc.nat(300), { maxLength: 5 }),
        (copied, more, since) => {
          const last = told(3, copied + more);
          const first = start(4, copied);
          let at = copied;
          for (const [i, written] of [0, ...since].entries()) {
            at += written;
            expect(isOldCopy(last, start(4 + i, at), first)).toBe(true);
          }
        },
      ),
    );
  });
});

describe('what others say', () => {
  const [mine, theirs] = [Buffer.alloc(16, 1), Buffer.alloc(16, 2)];
  const self = {
    storeId: toStoreId(1),
    clusterId: mine,
    start: start(4, 100),
    unconfirmed: undefined,
    toldBatch: undefined,
  };
  const answer = (fields: Partial<flotilla.kv.DiscoverResponse.$Properties>): Discovery =>
    flotilla.kv.DiscoverResponse.decode(
      flotilla.kv.DiscoverResponse.encode({ storeId: 2, clusterId: mine, ...fields }).finish(),
    );

  it('proves an old copy if one of them heard more, of the same cluster', () => {
    const more = { heardIncarnation: 3, heardLogBatch: 101 };
    expect(provenOld([answer({}), answer(more)], self)).toEqual(told(3, 101));
    expect(provenOld([answer({ ...more, clusterId: theirs })], self)).toBeUndefined();
    expect(provenOld([answer({ ...more, heardLogBatch: 100 })], self)).toBeUndefined();
    // An answer of an older version, or of a store that has just begun.
    expect(provenOld([answer({})], self)).toBeUndefined();
  });

  it('may be what this life has told itself, once it takes part', () => {
    const heard = [answer({ heardIncarnation: 4, heardLogBatch: 120 })];
    expect(provenOld(heard, self)).toEqual(told(4, 120));
    expect(provenOld(heard, { ...self, toldBatch: 120 })).toBeUndefined();
    expect(provenOld(heard, { ...self, toldBatch: 119 })).toEqual(told(4, 120));
  });

  it('proves another cluster if that one commits, and nobody of this one does', () => {
    const other = answer({ clusterId: theirs, commits: true });
    const me = answer({ storeId: 1 });
    expect(otherCluster([me, other], self)).toEqual(theirs);
    expect(otherCluster([me, other, answer({ storeId: 3, commits: true })], self)).toBe(undefined);
    expect(otherCluster([me, answer({ clusterId: theirs })], self)).toBeUndefined();
    const unfounded = answer({ clusterId: Buffer.alloc(0), commits: true });
    expect(otherCluster([me, unfounded], self)).toBeUndefined();
  });

  it('proves nothing by a stray that commits alone, where the own cluster begins', () => {
    const stray = answer({ storeId: 1, clusterId: theirs, commits: true });
    expect(otherCluster([stray, answer({ storeId: 2 })], self)).toBeUndefined();
    const more = [stray, { ...stray, storeId: 3 }] as Discovery[];
    expect(otherCluster([...more, answer({ storeId: 2 })], self)).toEqual(theirs);
  });

  it('is complete when every peer has answered as a store of this cluster', () => {
    const peers = new Set([2, 3]);
    const [two, three] = [answer({ storeId: 2 }), answer({ storeId: 3 })];
    expect(haveAnswered(peers, [two, two], mine)).toBe(false);
    expect(haveAnswered(peers, [two, answer({ storeId: 3, clusterId: theirs })], mine)).toBe(false);
    expect(haveAnswered(peers, [two, answer({ storeId: 4 }), three], mine)).toBe(true);
  });
});
