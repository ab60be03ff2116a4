/**
 * `--http`: a small HTTP server for machines that watch this process. `/metrics`, `/health`, `/ready`; GET and HEAD only,
 * nothing that changes anything. Serves from before the roles start until the process ends.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from '@flotilla/base';
import type { Registry } from 'prom-client';
import type { ListenAddress } from '../config/settings.ts';
import { UsageError } from '../usage-error.ts';
import type { ProcessHealth } from './process-health.ts';

export interface HttpServer {
  readonly address: ListenAddress;
  stop(): Promise<void>;
}

/** A watcher that holds a connection must not hold the process. Unit: ms. */
const requestTimeoutMs = 5000;

/** @throws UsageError if the address cannot be listened on */
export async function startHttp(
  address: ListenAddress,
  parts: { readonly metrics: Registry; readonly health: ProcessHealth; readonly logger: Logger },
): Promise<HttpServer> {
  const server = createServer((request, response) => {
    answer(request, response, parts).catch((error: unknown) => {
      parts.logger.warn({ error: String(error), url: request.url }, 'http_request_failed');
      response.destroy();
    });
  });
  server.requestTimeout = requestTimeoutMs;
  server.headersTimeout = requestTimeoutMs;
  const { host, port } = address;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new UsageError(`--http is "${host}:${port}": ${error.message}`)),
    );
    server.listen(port, host, resolve);
  });
  const bound = (server.address() as AddressInfo).port;
  parts.logger.info({ host, port: bound }, 'http_listening');
  return {
    address: { host, port: bound },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { metrics, health }: { readonly metrics: Registry; readonly health: ProcessHealth },
): Promise<void> {
  const say = (status: number, text: string, type = 'text/plain; charset=utf-8'): void => {
    response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
    response.end(request.method === 'HEAD' ? '' : text);
  };
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    say(405, 'only GET and HEAD\n');
    return;
  }
  const [path] = (request.url ?? '').split('?');
  switch (path) {
    case '/metrics':
      say(200, await metrics.metrics(), metrics.contentType);
      return;
    case '/health': {
      const { ok, reason } = await health.health();
      say(ok ? 200 : 503, ok ? 'ok\n' : `${reason}\n`);
      return;
    }
    case '/ready': {
      const { ok, reason } = health.ready();
      say(ok ? 200 : 503, ok ? 'ready\n' : `${reason}\n`);
      return;
    }
    default:
      say(404, 'there are /metrics, /health and /ready\n');
  }
}
