#!/bin/sh
# Makes the certificates that tests use: two authorities, servers, clients. Valid for a hundred years, except the one
# that has expired. Nothing outside of tests trusts them.
set -eu
cd "$(dirname "$0")"
authority() { # name
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj "/CN=$1" \
    -keyout "$1.key" -out "$1.pem" 2>/dev/null
}
leaf() { # file, subject, authority, extended use, days
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$1.key" -out request.csr 2>/dev/null
  printf 'extendedKeyUsage=%s\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n' "$4" > extensions
  openssl x509 -req -in request.csr -CA "$3.pem" -CAkey "$3.key" -CAcreateserial -extfile extensions $5 -out "$1.pem" 2>/dev/null
}
forever="-days 36500"
authority authority
authority stranger
leaf server /CN=localhost authority serverAuth "$forever"
leaf renewed /CN=localhost authority serverAuth "$forever"
leaf ann /CN=ann authority clientAuth "$forever"
leaf ann-of-stranger /CN=ann stranger clientAuth "$forever"
leaf ann-as-server /CN=ann authority serverAuth "$forever"
leaf ann-twice /CN=ann/CN=bob authority clientAuth "$forever"
if openssl x509 -help 2>&1 | grep -q not_after; then
  leaf ann-expired /CN=ann authority clientAuth "-not_before 20200101000000Z -not_after 20200102000000Z"
else
  leaf ann-expired /CN=ann authority clientAuth "-days -1"
fi
rm -f request.csr extensions ./*.srl authority.key stranger.key
