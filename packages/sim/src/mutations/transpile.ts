/** One TypeScript source to the JavaScript that Node runs. No types are checked, nothing is read or written. */
import { type JscConfig, transformSync } from '@swc/core';

/** The declarations of swc leave one option out. */
const jsc: JscConfig & { readonly rewriteRelativeImportExtensions: true } = {
  target: 'es2022',
  parser: { syntax: 'typescript' },
  rewriteRelativeImportExtensions: true,
  transform: { verbatimModuleSyntax: true, useDefineForClassFields: true },
};

/** Throws for text that is no TypeScript. */
export function transpile(source: string, file: string): string {
  return transformSync(source, {
    filename: file,
    configFile: false,
    swcrc: false,
    sourceMaps: false,
    module: { type: 'es6' },
    jsc,
  }).code;
}

/** Where the JavaScript of a source is: `packages/x/src/y.ts` -> `packages/x/dist/y.js`. */
export function builtFile(file: string): string {
  return file.replace(/^(packages\/[^/]+)\/src\/(.*)\.ts$/, '$1/dist/$2.js');
}
