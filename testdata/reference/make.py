"""Independent reference optima: dense Newton in f64 on standardised columns with the penalty on raw weights; the gap is
bounded by |grad_w F|^2 / (2 l2) after the intercept has been re-minimised."""
import sys, json, gzip, numpy as np, scipy.sparse as sp, scipy.linalg as sl, os
from sklearn.datasets import load_svmlight_file
D=sys.argv.pop(1)+'/'  # folder with one folder per set
def svm(name):
    X,y=load_svmlight_file(D+f'{name}/{name}.gz'); return X.toarray() if name!='news20' else X, y
def csv(path,delim=',',skip=1):
    A=np.loadtxt(path,delimiter=delim,skiprows=skip); return A[:,1:],A[:,0]
sets={}
for s in ['a1a','a5a','a9a','w8a','mushrooms','phishing','madelon','splice','colon-cancer','australian','german.numer_scale','heart_scale','diabetes_scale','breast-cancer']:
    sets[s]=lambda s=s: svm(s)
sets['higgs_sample']=lambda: csv(D+'higgs_sample/higgs_sample.train.tsv.gz','\t',0)
for s in ['digits','wdbc','iris','wine_recognition']: sets[s]=lambda s=s: csv(D+f'{s}/{s}.csv.gz')
sets['group_colon']=lambda: csv(D+'group_colon/group_colon.csv.gz')
L=np.longdouble
def softplus(t): return np.maximum(t,0)+np.log1p(np.exp(-np.abs(t)))
def fit_binary(X,y,lam):
    n,d=X.shape
    ys=np.where(y==y.max(),1.0,-1.0)
    m=X.mean(0); s=X.std(0); s[s==0]=1
    Z=np.hstack([(X-m)/s,np.ones((n,1))]); P=np.append(lam/s**2,0.0)
    v=np.zeros(d+1)
    def F(v):
        e=Z@v; return softplus(-ys*e).mean()+0.5*(P*v*v).sum()
    f=F(v)
    for it in range(300):
        e=Z@v; p=1/(1+np.exp(ys*e)); g=-(Z.T@(ys*p))/n+P*v
        D_=p*(1-p); H=(Z.T*D_)@Z/n; H[np.diag_indices(d+1)]+=P
        sc=1/np.sqrt(np.maximum(np.diag(H),1e-300)); Hs=H*sc[:,None]*sc[None,:]
        try: c=sl.cho_factor(Hs+1e-16*np.eye(d+1)); st=-sc*sl.cho_solve(c,sc*g)
        except sl.LinAlgError:
            st=-sc*np.linalg.lstsq(Hs,sc*g,rcond=1e-16)[0]
        t=1.0; dec=g@st
        if -dec < 1e-22*f and it>3: break
        while True:
            fn=F(v+t*st)
            if fn<=f+1e-4*t*dec+4e-16*f or t<1e-10: break
            t*=0.5
        v=v+t*st; f=fn
    # certificate
    b=v[-1]
    for _ in range(100):
        e=Z@v; p=1/(1+np.exp(ys*e)); gb=-(ys*p).mean(); hb=(p*(1-p)).mean()
        stp=-gb/hb if hb>0 else 0
        v[-1]+=max(-1,min(1,stp))
        if abs(stp)<1e-16*max(1,abs(v[-1])): break
    e=Z@v; p=1/(1+np.exp(ys*e)); g=-(Z.T@(ys*p))/n+P*v
    gap=((g[:-1]*s)**2).sum()/(2*lam)
    Fl=softplus((-ys*e).astype(L)).mean()+L(0.5)*(P.astype(L)*v.astype(L)**2).sum()
    return float(Fl),float(gap),it
def RES(E,Y):
    Ex=np.exp(E-E.max(1)[:,None]); Pm=Ex/Ex.sum(1)[:,None]; R=Pm-Y
    yi=Y.argmax(1); R[np.arange(len(yi)),yi]=0; R[np.arange(len(yi)),yi]=-R.sum(1); return R
def fit_softmax(X,y,lam):
    cl=np.unique(y); K=len(cl); n,d=X.shape; Y=(y[:,None]==cl[None,:]).astype(float)
    m=X.mean(0); s=X.std(0); s[s==0]=1
    Z=np.hstack([(X-m)/s,np.ones((n,1))]); P=np.append(lam/s**2,0.0); q=d+1
    V=np.zeros((q,K))
    def lse(E): mx=E.max(1); return mx+np.log(np.exp(E-mx[:,None]).sum(1))
    def F(V,ld=False):
        E=(Z.astype(L)@V.astype(L)) if ld else Z@V
        yi=Y.argmax(1); M=E-E[np.arange(n),yi][:,None]; M[np.arange(n),yi]=-np.inf
        mx=np.maximum(M.max(1),0); r=np.where(mx>0, mx+np.log(np.exp(-mx)+np.exp(M-mx[:,None]).sum(1)), np.log1p(np.exp(M).sum(1)))
        Vl=V.astype(L) if ld else V
        return r.mean()+0.5*(P[:,None]*Vl*Vl).sum()
    f=F(V)
    for it in range(60):
        E=Z@V; Pm=np.exp(E-lse(E)[:,None]); G=Z.T@RES(E,Y)/n+P[:,None]*V
        H=np.zeros((K,q,K,q))
        for a in range(K):
            for b in range(a,K):
                w=Pm[:,a]*((a==b)-Pm[:,b]); B=(Z.T*w)@Z/n
                H[a,:,b,:]=B; H[b,:,a,:]=B.T
        for a in range(K): H[a,:,a,:][np.diag_indices(q)]+=P
        for a in range(K):
            for b in range(K): H[a,-1,b,-1]+=1.0/K
        Hm=H.reshape(K*q,K*q); g=G.T.reshape(-1)
        sc=1/np.sqrt(np.maximum(np.diag(Hm),1e-300)); Hs=Hm*sc[:,None]*sc[None,:]
        try: c=sl.cho_factor(Hs); st=-sc*sl.cho_solve(c,sc*g)
        except sl.LinAlgError:
            w_,Q=np.linalg.eigh(Hs); w_=np.maximum(w_,1e-16); st=-sc*(Q@((Q.T@(sc*g))/w_))
        dec=g@st
        if -dec<1e-22*f and it>3: break
        S=st.reshape(K,q).T; t=1.0
        while True:
            fn=F(V+t*S)
            if fn<=f+1e-4*t*dec+4e-16*f or t<1e-10: break
            t*=0.5
        V=V+t*S; f=fn
    E=Z@V; Pm=np.exp(E-lse(E)[:,None]); G=Z.T@RES(E,Y)/n+P[:,None]*V
    gap=((G[:-1]*s[:,None])**2).sum()/(2*lam)
    return float(F(V,True)),float(gap),it
names=sys.argv[1:] or [k for k in sets]
for k in names:
    X,y=sets[k]()
    for lam in [1e-2,1e-6,1e-10]:
        K=len(np.unique(y)); r=(fit_binary if K==2 else fit_softmax)(np.asarray(X),y,lam)
        print(f'{k} {X.shape[0]} {X.shape[1]} {K} {lam:g} {r[0]:.15e} relgap={r[1]/r[0]:.2e} it={r[2]}',flush=True)
