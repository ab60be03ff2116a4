import { expect, it } from 'vitest';
import { bytesField, fieldsOf, integerField } from './protobuf-fields.ts';

it('reads back what it wrote, integers beyond 32 bits included', () => {
  const long = Buffer.alloc(300, 'x');
  const message = Buffer.concat([
    integerField(2, 0),
    bytesField(3, long),
    integerField(6, 2 ** 40 + 5),
    bytesField(15, Buffer.alloc(0)),
  ]);
  expect(
    [...fieldsOf(message)].map(({ number, integer, bytes }) => [number, integer, bytes.length]),
  ).toEqual([
    [2, 0, 0],
    [3, 0, 300],
    [6, 2 ** 40 + 5, 0],
    [15, 0, 0],
  ]);
});

it("writes the guide's examples", () => {
  expect(integerField(1, 150).toString('hex')).toBe('089601');
  expect(bytesField(2, Buffer.from('testing')).toString('hex')).toBe('120774657374696e67');
});

it('refuses what is cut short or of another kind', () => {
  expect(() => [...fieldsOf(Buffer.from('12077465', 'hex'))]).toThrow(/cut short/);
  expect(() => [...fieldsOf(Buffer.from('0896', 'hex'))]).toThrow(/cut short/);
  expect(() => [...fieldsOf(Buffer.from('0d00000000', 'hex'))]).toThrow(/kind 5/);
});
