"""Seconds that scikit-learn needs to read an svmlight file, as one line of JSON: read_peer.py FILE ROUNDS."""

import json
import sys
import time

from sklearn.datasets import load_svmlight_file

path, rounds = sys.argv[1], int(sys.argv[2])
seconds = []
for _ in range(rounds):
    begin = time.perf_counter()
    x, _ = load_svmlight_file(path)
    seconds.append(time.perf_counter() - begin)
print(json.dumps({"seconds": seconds, "rows": x.shape[0], "columns": x.shape[1], "stored": int(x.nnz)}))
