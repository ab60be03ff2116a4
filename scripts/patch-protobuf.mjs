/**
 * Last step of `pnpm run gen`: settles two things of protobufjs that no flag does. The lines go right after its import, before
 * any generated class looks at what they change.
 *
 * 64-bit integers are JS numbers, read and written by `plainIntegers` of `@flotilla/base`: protobufjs hands out `Long` objects as
 * soon as the package `long` can be found, whatever `--force-number` says (that only changes types).
 *
 * A member of a oneof replaces another one that was read before it. protobufjs deletes all other members, which are not there
 * as a rule, one by one: for the messages between clients and stores that cost more than reading the rest.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const [file] = process.argv.slice(2);
const text = readFileSync(file, 'utf8');
const anchor = 'import $protobuf from "protobufjs/minimal.js";\n';
if (!text.includes(anchor))
  throw new Error(`${file}: the import of protobufjs is not where it was`);
const patch = `import { plainIntegers } from "@flotilla/base";
plainIntegers($protobuf);
$protobuf.util.oneOfSetter = (members) => {
  const among = new Set(members);
  return function (name) {
    for (const key of Object.keys(this)) if (key !== name && among.has(key)) delete this[key];
  };
};
`;
if (!text.includes(patch)) writeFileSync(file, text.replace(anchor, anchor + patch));
