#!/usr/bin/env bash
# Installs the Debian packages whose servers and tools some tests talk to, and starts none of them.
# Without root or apt it changes nothing: those tests skip and say so. With arguments: these packages instead.
set -euo pipefail
packages=(haproxy systemd postfix dovecot-core dovecot-lmtpd swaks curl openssl)
packages+=(libnet-ssleay-perl libio-socket-ssl-perl libauthen-ntlm-perl)
packages+=(rbldnsd)
packages+=(slapd ldap-utils postgresql)
packages+=(opendkim opendkim-tools)
packages+=(krb5-kdc krb5-admin-server krb5-user libkrb5-dev)
packages+=(unbound knot)
packages+=(postsrsd bind9 bind9-utils)
# Mail servers that Debian installs instead of Postfix, never beside it, and the libraries they need. Their files are
# unpacked into a folder of their own, where only the tests look (tests/services/apart.py).
apart=(exim4-daemon-light opensmtpd)
packages+=(libgnutls-dane0 libevent-2.1-7 libdb5.3 libidn12 libnsl2)
packages+=(libsasl2-modules)  # Postfix logs in by them
folder=/usr/local/lib/gatepost-services
if [ $# -gt 0 ]; then
    packages=("$@")
    apart=()
fi

missing=()
folded=()
for package in "${apart[@]}"; do
    [ -d "$folder/$package" ] || folded+=("$package")
done
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ $((${#missing[@]} + ${#folded[@]})) -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Not installed: ${missing[*]} ${folded[*]} (needs root and apt); tests that need them will skip." >&2
    exit 0
fi

policy=/usr/sbin/policy-rc.d
kept="$(mktemp -d)"
restore() {
    if [ -e "$kept/policy-rc.d" ]; then mv -f "$kept/policy-rc.d" "$policy"; else rm -f "$policy"; fi
    rm -rf "$kept"
}
trap restore EXIT
if [ -e "$policy" ]; then cp -a "$policy" "$kept/policy-rc.d"; fi
printf '#!/bin/sh\nexit 101\n' > "$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections 2>/dev/null || true
# --no-remove: a machine with another mail server keeps it, and the tests skip.
install=(apt-get install -y -q --no-install-recommends --no-remove "${missing[@]}")
if [ ${#missing[@]} -gt 0 ] && ! "${install[@]}" >"$kept/log" 2>&1; then
    if ! { apt-get update -q && "${install[@]}"; } >"$kept/log" 2>&1; then
        tail -5 "$kept/log" >&2
        echo "Could not install: ${missing[*]}; tests that need them will skip." >&2
    fi
fi

for package in "${folded[@]}"; do
    mkdir "$kept/$package"
    (cd "$kept/$package" && apt-get download -q "$package" && dpkg -x ./*.deb files) >"$kept/log" 2>&1 \
        || { tail -5 "$kept/log" >&2; echo "Could not unpack $package; tests that need it will skip." >&2; continue; }
    mkdir -p "$folder"
    mv "$kept/$package/files" "$folder/$package"
done
