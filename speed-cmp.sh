#!/usr/bin/env bash
# usage: cmp.sh NATIVE GLUE requests runs names...
N=$1; G=$2; R=$3; K=$4; shift 4
for w in "$@"; do
  for i in $(seq $K); do
    a=$($N run $w $R | python3 -c 'import json,sys;d=json.load(sys.stdin);print(d["requests"]/d["seconds"]/1e6)')
    b=$(node /tmp/w/speed/tests/browser/bench-workload.mjs $G run $w $R | python3 -c 'import json,sys;d=json.load(sys.stdin);print(d["requests"]/d["seconds"]/1e6)')
    echo "$w $a $b"
  done
done | python3 -c '
import sys,statistics as s
d={}
for l in sys.stdin:
  w,a,b=l.split(); d.setdefault(w,[[],[]]); d[w][0].append(float(a)); d[w][1].append(float(b))
for w,(a,b) in d.items(): print(f"{w:16} native {s.median(a):.2f} wasm {s.median(b):.2f} ratio {s.median(b)/s.median(a):.2f}  native {sorted(round(x,2) for x in a)} wasm {sorted(round(x,2) for x in b)}")
'
