/** All set-returning functions by name. */
import { jsonSetFunctions } from './json-sets.ts';
import { regexpSetFunctions } from './regexp-functions.ts';
import { coreSetFunctions, type SetSignature } from './set-returning.ts';

export const setFunctions: ReadonlyMap<string, readonly SetSignature[]> = (() => {
  const index = new Map<string, SetSignature[]>();
  for (const one of [...coreSetFunctions, ...jsonSetFunctions, ...regexpSetFunctions]) {
    const overloads = index.get(one.name);
    if (overloads === undefined) index.set(one.name, [one]);
    else overloads.push(one);
  }
  return index;
})();
