"""Independent optima of regularised least squares, `mean of (y - eta)^2 / 2 + l2/2 |w|^2` with a free intercept: QR of the
standardised, centred rows above the root of the penalty, refined once in extended precision. Rows for regression.toml; the gap
is `g' H^-1 g / 2`, which is exact for a quadratic.

    python ridge.py FOLDER [SET...]
"""
import os, sys
import numpy as np, scipy.linalg as sl
from sklearn.datasets import load_svmlight_file

folder, names = sys.argv[1], sys.argv[2:]
SVM = ['abalone_scale', 'cadata', 'cpusmall_scale', 'bodyfat_scale', 'housing_scale']
UCI = ['airfoil', 'autompg', 'bike', 'concrete', 'elevators', 'energy', 'keggundirected', 'kin40k', 'parkinsons', 'pol', 'protein',
       'pumadyn32nm', 'wine', 'yacht']
CSV = ['diabetes_lars', 'group_bardet']
X_ = np.longdouble


def load(name):
    at = lambda file: os.path.join(folder, name, file)
    if name in SVM:
        x, y = load_svmlight_file(at(f'{name}.gz'))
        return x.toarray(), y
    if name in CSV:
        a = np.loadtxt(at(f'{name}.csv.gz'), delimiter=',', skiprows=1)
        return a[:, 1:], a[:, 0]
    a = np.loadtxt(at('data.csv.gz'), delimiter=',')
    return a[:, :-1], a[:, -1]


def optimum(x, y, l2):
    n, d = x.shape
    xe, ye = x.astype(X_), y.astype(X_)
    z, t = xe - xe.mean(0), ye - ye.mean()
    s = np.sqrt((z * z).mean(0))
    s[s == 0] = 1
    z = z / s
    root = np.sqrt(X_(l2)) / s
    a = np.vstack([z / np.sqrt(X_(n)), np.diag(root)])
    b = np.append(t / np.sqrt(X_(n)), np.zeros(d, X_))
    q, r = sl.qr(a.astype(float), mode='economic')
    v = np.zeros(d, X_)
    for _ in range(4):
        left = b - a @ v
        v = v + sl.solve_triangular(r, q.T @ left.astype(float))
    left = b - a @ v
    g = (a.T @ left).astype(float)
    inner = sl.solve_triangular(r, g, trans='T')
    return float(left @ left / 2), float(inner @ inner / 2)


for name in names or SVM + CSV + ['uci_' + n for n in UCI]:
    x, y = load(name)
    for l2 in [1e-2, 1e-6]:
        value, gap = optimum(x, y, l2)
        print(f'[[optimum]]\nset = "{name}"\nrows = {x.shape[0]}\ncolumns = {x.shape[1]}\nl2 = {l2:g}\nobjective = {value!r}\ngap = {gap:.2e}\n', flush=True)
