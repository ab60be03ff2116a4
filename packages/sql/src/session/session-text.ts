/** How values of one session are read and written as text: as its settings are when a value is. One object for all of them. */

import type { CatalogAccess } from '../catalog/catalog-access.ts';
import { sessionNames } from '../catalog/session-names.ts';
import type { Settings } from '../settings.ts';
import type { TextContext } from '../types/codec.ts';

/** What it asks of the session. */
interface Session {
  readonly settings: Settings;
  readonly transaction: { readonly startedAt: bigint | undefined };
  clockTime(): bigint;
  catalogAccess(): CatalogAccess;
}

export class SessionText implements TextContext {
  private readonly session: Session;

  constructor(session: Session) {
    this.session = session;
  }

  get zone(): TextContext['zone'] {
    return this.session.settings.zone;
  }

  get extraFloatDigits(): number {
    return this.session.settings.extraFloatDigits;
  }

  get now(): bigint {
    return this.session.transaction.startedAt ?? this.session.clockTime();
  }

  get byteaOutput(): 'hex' | 'escape' {
    return this.session.settings.byteaOutput;
  }

  get dateOrder(): 'MDY' | 'DMY' | 'YMD' {
    return this.session.settings.dateOrder;
  }

  get names(): TextContext['names'] {
    return sessionNames(() => this.session.catalogAccess().names, this.session.settings.user);
  }
}
