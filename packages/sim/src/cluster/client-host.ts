/** A machine that a client runs on: its loop and clocks, its end of the network, the router that it uses. */
import type { Router } from '@flotilla/router';
import type { Host } from '../world/host.ts';
import type { HostTransport } from '../world/host-transport.ts';

export interface ClientHost {
  readonly host: Host;
  readonly transport: HostTransport;
  readonly router: Router;
}
