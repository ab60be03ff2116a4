/**
 * Last step of `pnpm run gen`: makes generated protobuf code read 64-bit integers as JS numbers. protobufjs hands out
 * `Long` objects as soon as the package `long` can be found, whatever `--force-number` says (that only changes types).
 * The lines go right after the import of protobufjs, before any generated class looks at `util.Long`.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const [file] = process.argv.slice(2);
const text = readFileSync(file, 'utf8');
const anchor = 'import $protobuf from "protobufjs/minimal.js";\n';
if (!text.includes(anchor))
  throw new Error(`${file}: the import of protobufjs is not where it was`);
const patch = '$protobuf.util.Long = null;\n$protobuf.configure();\n';
if (!text.includes(patch)) writeFileSync(file, text.replace(anchor, anchor + patch));
