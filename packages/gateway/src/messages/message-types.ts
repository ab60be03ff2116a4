/** Type bytes of the PostgreSQL wire protocol 3.0, both directions. Source: "Message Formats" of its documentation. */
import type { GatewayLimits } from '../limits.ts';

/** Type byte and length field. */
export const frameHeaderBytes = 5;

export const Frontend = {
  bind: 0x42, // B
  close: 0x43, // C
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyFail: 0x66, // f
  describe: 0x44, // D
  execute: 0x45, // E
  flush: 0x48, // H
  functionCall: 0x46, // F
  parse: 0x50, // P
  /** Password, SASL and GSS responses share a letter. Only valid while authenticating. */
  password: 0x70, // p
  query: 0x51, // Q
  sync: 0x53, // S
  terminate: 0x58, // X
} as const;

export const Backend = {
  authentication: 0x52, // R
  backendKeyData: 0x4b, // K
  bindComplete: 0x32, // 2
  closeComplete: 0x33, // 3
  commandComplete: 0x43, // C
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyInResponse: 0x47, // G
  copyOutResponse: 0x48, // H
  dataRow: 0x44, // D
  emptyQueryResponse: 0x49, // I
  errorResponse: 0x45, // E
  negotiateProtocolVersion: 0x76, // v
  noData: 0x6e, // n
  noticeResponse: 0x4e, // N
  notificationResponse: 0x41, // A
  parameterDescription: 0x74, // t
  parameterStatus: 0x53, // S
  parseComplete: 0x31, // 1
  portalSuspended: 0x73, // s
  readyForQuery: 0x5a, // Z
  rowDescription: 0x54, // T
} as const;

/** The largest length field that a message of this type may carry; 0 for a type that clients do not send. */
export function lengthMax(type: number, limits: GatewayLimits): number {
  switch (type) {
    case Frontend.query:
    case Frontend.parse:
    case Frontend.bind:
    case Frontend.copyData:
    case Frontend.functionCall:
      return limits.messageBytesMax;
    case Frontend.close:
    case Frontend.copyDone:
    case Frontend.copyFail:
    case Frontend.describe:
    case Frontend.execute:
    case Frontend.flush:
    case Frontend.sync:
    case Frontend.terminate:
      return limits.smallMessageBytesMax;
    default:
      return 0;
  }
}
