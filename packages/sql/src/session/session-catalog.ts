/**
 * The catalog as the expressions of one run of a statement see it. Made for every run, so it makes nothing before it is
 * asked: most statements never do.
 */
import type { BackendAccess, CatalogAccess, SequenceAccess } from '../catalog/catalog-access.ts';
import { NameResolver } from '../catalog/name-resolver.ts';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import type { Authority } from '../roles/authority.ts';

/** What it asks of the session. */
interface Session {
  readonly sequences: SequenceAccess;
  readonly snapshot: CatalogSnapshot;
  readonly searchPath: readonly string[];
  readonly authority: Authority;
  authorityOf(role: string): Authority;
  /** For one run. */
  backend(): BackendAccess;
}

export class SessionCatalog implements CatalogAccess {
  private readonly session: Session;
  private resolver: NameResolver | undefined = undefined;
  private ownBackend: BackendAccess | undefined = undefined;

  constructor(session: Session) {
    this.session = session;
  }

  get sequences(): SequenceAccess {
    return this.session.sequences;
  }

  get authority(): Authority {
    return this.session.authority;
  }

  authorityOf(role: string): Authority {
    return this.session.authorityOf(role);
  }

  get backend(): BackendAccess {
    this.ownBackend ??= this.session.backend();
    return this.ownBackend;
  }

  /** By the newest snapshot that is known when it is asked, or what the open transaction has made of it. */
  get names(): NameResolver {
    const { snapshot, searchPath } = this.session;
    if (this.resolver?.snapshot !== snapshot)
      this.resolver = new NameResolver(snapshot, searchPath);
    return this.resolver;
  }
}
