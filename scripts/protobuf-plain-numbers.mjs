/**
 * Last step of `pnpm run gen`: makes generated protobuf code read and write 64-bit integers as JS numbers, by
 * `plainIntegers` of `@flotilla/base`. protobufjs hands out `Long` objects as soon as the package `long` can be found,
 * whatever `--force-number` says (that only changes types). The lines go right after the import of protobufjs, before any
 * generated class looks at `util.Long`.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const [file] = process.argv.slice(2);
const text = readFileSync(file, 'utf8');
const anchor = 'import $protobuf from "protobufjs/minimal.js";\n';
if (!text.includes(anchor))
  throw new Error(`${file}: the import of protobufjs is not where it was`);
const patch = 'import { plainIntegers } from "@flotilla/base";\nplainIntegers($protobuf);\n';
if (!text.includes(patch)) writeFileSync(file, text.replace(anchor, anchor + patch));
