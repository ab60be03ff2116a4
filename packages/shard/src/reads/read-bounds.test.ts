import { toRangeId, toReplicaId } from '@flotilla/base';
import { expect, it } from 'vitest';
import { StorageSpace } from '../state/storage-keys.ts';
import { goneMeanwhile } from './read-bounds.ts';

const key = (text: string): Buffer => Buffer.from(text);
const space = new StorageSpace(1);
const whole = {
  isRemoved: false,
  space,
  descriptor: {
    rangeId: toRangeId(1),
    startKey: key('a'),
    endKey: key('m'),
    generation: 1,
    replicas: [],
    nextReplicaId: toReplicaId(2),
  },
  notLeaseholder: () => ({ refusal: { message: 'not the leaseholder' } }),
  keyMismatch: () => ({ refusal: { message: 'outside' } }),
};
const span = { startKey: key('b'), endKey: key('d') };

it('what was read over several turns counts while the replica keeps its storage and the keys', () => {
  const cut = { ...whole, descriptor: { ...whole.descriptor, endKey: key('c') } };
  expect(goneMeanwhile(whole, space, span)).toBeUndefined();
  expect(goneMeanwhile(cut, space, span)?.refusal?.message).toBe('outside');
  expect(goneMeanwhile(cut, space, { ...span, endKey: key('c') })).toBeUndefined();
  expect(goneMeanwhile({ ...whole, isRemoved: true }, space, span)?.refusal?.message).toBe(
    'not the leaseholder',
  );
  // A snapshot came: what was read of the old storage may have been deleted under the reader.
  expect(
    goneMeanwhile({ ...whole, space: new StorageSpace(2) }, space, span)?.refusal?.message,
  ).toBe('not the leaseholder');
});
