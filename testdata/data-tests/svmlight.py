"""Writes svmlight.json: valid svmlight texts and what scikit-learn's load_svmlight_file makes of them.

Numbers are kept as text, which every reader rounds in the same way.

Run with scikit-learn 1.9.1, NumPy 2.4.6: python svmlight.py
"""

import io
import json
import random

from sklearn.datasets import load_svmlight_file

random.seed(20261125)

FIXED = [
    "1 1:1\n",
    "1 1:0.5 3:2\n-1 2:1.5\n",
    "-1 0:1 2:3\n1 1:2\n",
    "# head\n1 1:2 # tail 3:4\n\n2 2:1\n",
    "1 1:2\r\n0 2:3\r\n",
    "1\t1:2\t2:3\n0\t1:1\n",
    "1 1:1e3 2:-1E-3 3:+4.5\n",
    "0.25 1:.5 2:5.\n",
    "1 1:9007199254740993 2:0.1\n",
    "1 1:123456789012345678901234567890\n",
    "3 1:1\n1 2:1\n2 3:1\n",
    "1 qid:1 1:2\n0 qid:2 2:1\n",
    "-1e5 4:2.2250738585072014e-308\n",
    "1 1:4.9e-324 2:1.7976931348623157e308\n",
]


def number():
    kind = random.randrange(5)
    if kind == 0:
        return str(random.randint(-999, 999))
    if kind == 1:
        return f"{random.uniform(-10, 10):.4f}"
    if kind == 2:
        return repr(random.gauss(0, 1))
    if kind == 3:
        return f"{random.gauss(0, 1):.3e}"
    return f"{random.uniform(0, 1):.25f}"


def sample():
    lines = []
    first = random.randint(0, 1)
    for row in range(random.randint(1, 6)):
        present = [j for j in range(first, 8) if random.random() < 0.5]
        if row == 0:
            present = sorted({first, *present})
        blank = random.choice([" ", "  ", "\t"])
        end = random.choice(["\n", "\r\n", " \n", " # note\n"])
        lines.append(blank.join([random.choice(["1", "-1", "+1", "0.5"]), *(f"{j}:{number()}" for j in present)]) + end)
    return "".join(lines)


def main():
    cases = []
    for text in FIXED + [sample() for _ in range(26)]:
        x, y = load_svmlight_file(io.BytesIO(text.encode()), zero_based="auto")
        cases.append({"text": text, "target": [repr(v) for v in y.tolist()], "dense": [[repr(v) for v in row] for row in x.toarray().tolist()]})
    with open("svmlight.json", "w") as out:
        json.dump(cases, out, indent=0)


main()
