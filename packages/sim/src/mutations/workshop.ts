/**
 * A copy of the built tree in a temporary directory, and for every mutant the modules that it changes: a program with the
 * mutant loads these instead. The checkout is read, never written. The copy has the packages that the simulator needs;
 * libraries are the checkout's own.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Mutant, mutatedSources } from './mutant.ts';
import { builtFile, transpile } from './transpile.ts';

const asItIs = 'as-it-is';

export class Workshop {
  private readonly root: string;
  private readonly directory: string = mkdtempSync(join(realpathSync(tmpdir()), 'sim-mutations-'));
  private readonly packages: readonly string[];
  /** Read at once, so that a checkout that changes meanwhile cannot mix with the copy. */
  private readonly mutated: ReadonlyMap<Mutant, ReadonlyMap<string, string>>;

  /** @param root of the checkout, which has been built @param mutants that may be planted */
  constructor(root: string, mutants: readonly Mutant[]) {
    this.root = root;
    this.packages = neededBy(root, 'sim');
    const read = (file: string): string => readFileSync(join(root, file), 'utf8');
    this.mutated = new Map(mutants.map((each) => [each, mutatedSources(each, read)]));
    this.copy(asItIs, root, ['package.json', 'dist', 'gen', 'node_modules']);
  }

  /** The sources of the tree without a mutant, on which its tests run. */
  get sources(): string {
    const tree = join(this.directory, 'sources');
    if (!existsSync(tree)) this.copySources('sources');
    return tree;
  }

  /** Makes sources with the mutant. @returns where they are */
  plantInSources(mutant: Mutant): string {
    const tree = this.copySources(mutant.name);
    for (const [file, text] of this.mutated.get(mutant) ?? [])
      writeFileSync(join(tree, file), text);
    return tree;
  }

  /** The worker program of the tree without a mutant. */
  get worker(): string {
    return join(this.directory, asItIs, 'packages/sim/dist/campaign/worker.js');
  }

  /** Makes a program with the mutant. @returns its worker program */
  plant(mutant: Mutant): string {
    const directory = join(this.directory, mutant.name);
    mkdirSync(directory);
    const write = (name: string, text: string): string => {
      writeFileSync(join(directory, name), text);
      return pathToFileURL(join(directory, name)).href;
    };
    const instead: Record<string, string> = {};
    for (const [file, text] of this.mutated.get(mutant) ?? []) {
      const built = join(this.directory, asItIs, builtFile(file));
      if (!existsSync(built)) throw new Error(`${mutant.name}: ${built} is not built`);
      const name = `${Object.keys(instead).length}-${basename(built)}`;
      instead[pathToFileURL(built).href] = write(name, transpile(text, file));
    }
    const hooks = write('hooks.mjs', hooksThatLoad(instead));
    write(
      'worker.mjs',
      `import { register } from 'node:module';\nregister(${JSON.stringify(hooks)});\n` +
        `await import(${JSON.stringify(pathToFileURL(this.worker).href)});\n`,
    );
    return join(directory, 'worker.mjs');
  }

  clear(mutant: Mutant): void {
    rmSync(join(this.directory, mutant.name), { recursive: true, force: true });
  }

  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  private copySources(name: string): string {
    const tree = this.copy(name, this.root, ['package.json', 'src', 'gen', 'node_modules']);
    for (const file of ['package.json', 'vitest.config.ts'])
      cpSync(join(this.root, file), join(tree, file));
    // Where tests of others would be.
    for (const other of ['scripts', 'e2e']) mkdirSync(join(tree, other));
    return tree;
  }

  private copy(name: string, from: string, parts: readonly string[]): string {
    const tree = join(this.directory, name);
    mkdirSync(join(tree, 'packages'), { recursive: true });
    symlinkSync(join(this.root, 'node_modules'), join(tree, 'node_modules'));
    for (const each of this.packages)
      for (const part of parts) {
        const source = join(from, 'packages', each, part);
        if (!existsSync(source)) continue;
        cpSync(source, join(tree, 'packages', each, part), {
          recursive: true,
          // pnpm's links are relative: to packages within the tree, to libraries through its `node_modules`.
          verbatimSymlinks: true,
          filter: (path) => !/\.(map|d\.ts|tsbuildinfo)$/.test(path),
        });
      }
    return tree;
  }
}

/** A module keeps its address, so that what it imports is found from there. @param instead addresses, by address */
function hooksThatLoad(instead: Readonly<Record<string, string>>): string {
  return `const instead = ${JSON.stringify(instead)};
export const load = (url, context, next) => next(instead[url] ?? url, context);
`;
}

/** The package and what it depends on within the workspace, however far. */
function neededBy(root: string, name: string): readonly string[] {
  const found = new Set<string>();
  const visit = (each: string): void => {
    if (found.has(each)) return;
    found.add(each);
    const manifest = JSON.parse(
      readFileSync(join(root, 'packages', each, 'package.json'), 'utf8'),
    ) as { dependencies?: Record<string, string> };
    for (const [dependency, version] of Object.entries(manifest.dependencies ?? {}))
      if (version.startsWith('workspace:')) visit(dependency.replace('@flotilla/', ''));
  };
  visit(name);
  return [...found];
}
