#!/bin/sh
# Record a program that forks, with call graphs; make the profile safe to share; show that it reads
# the same and that no address is left.  All of it is in build/demo.
set -eu
cd "$(dirname "$0")/.."
perf=$PWD/build/perf
audit=$PWD/tools/perf/tests/shell/lib/aslr_audit.py
rm -rf build/demo
mkdir -p build/demo
cd build/demo

cat >work.py <<'EOF'
import hashlib, json, os, zlib

def digest(n):
    return hashlib.sha256(b"x" * n).hexdigest()

def encode(n):
    return json.loads(json.dumps({str(i): [i] * 20 for i in range(n)}))

def squeeze(n):
    return zlib.compress(bytes(i * i % 251 for i in range(n)), 9)

for job, n in (digest, 2000000), (encode, 4000), (squeeze, 40000):
    if os.fork() == 0:
        for _ in range(60):
            job(n)
        os._exit(0)
for _ in range(3):
    os.wait()
EOF

echo "== a Python program forks three workers; perf records them with call graphs"
# No PMU is needed for cpu-clock.
"$perf" record -q -g -e cpu-clock -o perf.data -- python3 work.py

echo "== perf inject --aslr -i perf.data -o safe.data"
"$perf" inject --aslr -i perf.data -o safe.data
ls -l perf.data safe.data

for name in perf safe; do
	"$perf" report -i $name.data --stdio --no-children -g none -F overhead,dso,sym 2>/dev/null |
		sed -e '/^#/d' -e '/^$/d' -e 's/ *$//' >$name.report
	# All but the addresses themselves.
	"$perf" script -i $name.data -F comm,tid,time,event,period,ip,sym,symoff,dso 2>/dev/null |
		sed -E 's/^[[:space:]]+[0-9a-f]+ /	/' >$name.script
	# The first sample that is some functions deep, with its addresses.
	"$perf" script -i $name.data -F comm,ip,sym 2>/dev/null |
		awk -v RS= -F '\n' 'NF > 8 { print; exit }' >$name.addresses
done

echo
echo "== perf report: perf.data on the left, safe.data on the right"
pr -m -t -w 180 perf.report safe.report | head -n 25
echo
echo "== the addresses of one sample: perf.data on the left, safe.data on the right"
pr -m -t -w 180 perf.addresses safe.addresses

echo
echo "== perf script, line by line, without the addresses"
lines=$(wc -l <perf.script)
different=$(diff --speed-large-files perf.script safe.script | grep -c '^[<>]') || true
echo "$lines lines in perf.data, $(wc -l <safe.script) in safe.data, $different differ"

echo
echo "== the audit: addresses of perf.data in safe.data"
python3 "$audit" perf.data safe.data

[ "$lines" -gt 0 ] && [ "$different" = 0 ]
