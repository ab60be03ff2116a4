/** All set-returning functions by name. */
import { jsonPathSetFunctions } from './json-path/functions.ts';
import { jsonSetFunctions } from './json-sets.ts';
import { regexpSetFunctions } from './regexp-functions.ts';
import { coreSetFunctions, expandArray, type SetSignature } from './set-returning.ts';

/** The set-returning function that a name as written leads to. */
export function setFunctionNamed(parts: readonly string[]): string | undefined {
  const [name = '', schema = 'pg_catalog'] = [...parts].reverse();
  const own = name === expandArray ? 'information_schema' : 'pg_catalog';
  return schema === own && setFunctions.has(name) ? name : undefined;
}

export const setFunctions: ReadonlyMap<string, readonly SetSignature[]> = (() => {
  const index = new Map<string, SetSignature[]>();
  for (const one of [
    ...coreSetFunctions,
    ...jsonSetFunctions,
    ...jsonPathSetFunctions,
    ...regexpSetFunctions,
  ]) {
    const overloads = index.get(one.name);
    if (overloads === undefined) index.set(one.name, [one]);
    else overloads.push(one);
  }
  return index;
})();
