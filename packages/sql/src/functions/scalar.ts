/** All ordinary functions by name, and the names that PostgreSQL has beside them. */

import { advisoryFunctions } from './advisory.ts';
import { arrayFunctions } from './array-functions.ts';
import { catalogFunctions } from './catalog.ts';
import { datetimeFunctions } from './datetime-functions.ts';
import { enumFunctions } from './enum-functions.ts';
import { extensionFunctions } from './extension-functions.ts';
import { jsonFunctions } from './json-functions.ts';
import { jsonPathFunctions } from './json-path/functions.ts';
import { mathsFunctions } from './maths.ts';
import { moreMathsFunctions } from './more-maths.ts';
import { moreStringFunctions } from './more-strings.ts';
import { moreSystemFunctions } from './more-system.ts';
import { overlapsFunctions } from './overlaps.ts';
import { regexpFunctions } from './regexp-functions.ts';
import { sequenceFunctions } from './sequences.ts';
import { sessionFunctions } from './sessions.ts';
import { indexByName, type Signature } from './signature.ts';
import { sizeFunctions } from './sizes.ts';
import { stringFunctions } from './strings.ts';
import { systemFunctions } from './system.ts';

export const scalarFunctions: ReadonlyMap<string, readonly Signature[]> = indexByName([
  ...datetimeFunctions,
  ...jsonFunctions,
  ...jsonPathFunctions,
  ...arrayFunctions,
  ...enumFunctions,
  ...overlapsFunctions,
  ...extensionFunctions,
  ...moreSystemFunctions,
  ...sizeFunctions,
  ...regexpFunctions,
  ...moreStringFunctions,
  ...moreMathsFunctions,
  ...mathsFunctions,
  ...stringFunctions,
  ...advisoryFunctions,
  ...sessionFunctions,
  ...systemFunctions,
  ...sequenceFunctions,
  ...catalogFunctions,
]);

/** PostgreSQL's other functions that people and tools call: refused by name, as not built, instead of as unknown. */
export const foreignFunctions: ReadonlySet<string> = new Set(
  `current_query erf pg_column_size setseed timeofday to_tsquery to_tsvector
  txid_current xpath`.split(/\s+/),
);
