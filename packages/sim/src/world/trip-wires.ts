/**
 * Makes the machine's own time and chance throw while seeds run: whatever a run depends on must come from the seed. Not for
 * a process that does anything else.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { SimFailure } from '../failure.ts';

function tripWire(what: string): () => never {
  return () => {
    throw new SimFailure('simulator', `${what} was used inside a run`);
  };
}

export function armTripWires(): void {
  Date.now = tripWire('Date.now');
  Math.random = tripWire('Math.random');
  performance.now = tripWire('performance.now');
  Object.assign(globalThis, {
    setTimeout: tripWire('setTimeout'),
    setInterval: tripWire('setInterval'),
  });
  Object.assign(crypto, {
    randomBytes: tripWire('randomBytes'),
    randomUUID: tripWire('randomUUID'),
    randomFillSync: tripWire('randomFillSync'),
  });
  syncBuiltinESMExports();
}
