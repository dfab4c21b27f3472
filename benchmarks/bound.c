/* The bound that benchmarks/simulator.py compares with: the same scheduler, without router, metrics or results.
   iteration-level continuous batching bound: one core.
   usage: bound trace.csv N repeat budget maxseqs blocks mode  (mode 0 = per-iteration, 1 = jump)
   step = A + B*prefill + C*decode + D*kv   (seconds) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <time.h>
#include <stdint.h>
typedef struct { double t; int in, out; double ttft, fin; } Req;
static Req *R; static int NR;
static double A=6.0e-3,B=6.2e-5,C=1.0e-5,D=8.0e-8;  /* replaced by argv for other hw */
static double now_s(void){struct timespec ts;clock_gettime(CLOCK_PROCESS_CPUTIME_ID,&ts);return ts.tv_sec+1e-9*ts.tv_nsec;}
typedef struct { int r; int need; int done; int gen; int blocks; } Slot; /* need = prompt (+recomputed) tokens to prefill; done computed tokens; gen = generated */
static int64_t iters, steps_ev, preempt, maxrun, evs;
static int cmpd(const void*a,const void*b){double x=((Req*)a)->t,y=((Req*)b)->t;return x<y?-1:x>y;}
/* Simulates one server on request index list idx[0..n) */
static void server(int *idx,int n,int budget,int maxseqs,int totblocks,int mode){
  Slot *run=malloc(sizeof(Slot)*maxseqs); int nrun=0;
  int *wq=malloc(sizeof(int)*(2*n+16)); int *wgen=calloc(n+1,sizeof(int));
  /* waiting queue as deque: preempted go to front */
  int cap=2*n+16, head=n, tail=n; /* wq[head..tail) */
  int *genof=calloc(NR,sizeof(int));
  int freeb=totblocks, ai=0; double t=0;
  int ndec=0; (void)ndec;
  while(1){
    if(nrun==0 && head==tail){ if(ai>=n) break; if(t<R[idx[ai]].t) t=R[idx[ai]].t; }
    while(ai<n && R[idx[ai]].t<=t){ wq[tail++]=idx[ai++]; }
    /* schedule */
    int tok=budget; int pre=0,dec=0; int64_t kv=0; int allocd_pre=0;
    /* jump fast path: all running are decoding, no waiting that can be admitted */
    static int sched[4096];
    int preempted=0;
    for(int i=0;i<nrun && tok>0;i++){
      Slot*s=&run[i];
      int q = (s->done < s->need) ? (s->need - s->done) : 1;
      if(q>tok) q=tok;
      int nb=(s->done+q+15)>>4; 
      int alive=1;
      while(nb-s->blocks>freeb){
        /* preempt last */
        Slot*v=&run[nrun-1]; freeb+=v->blocks; genof[v->r]=v->gen; wq[--head]=v->r; nrun--; preempt++; preempted=1;
        if(v==s){alive=0;break;}
      }
      if(!alive){break;}
      freeb-=nb-s->blocks; s->blocks=nb; sched[i]=q; tok-=q;
      if(s->done<s->need) pre+=q; else dec++;
      kv+=s->done+q;
    }
    int nsched=0; { /* number of running scheduled: those visited */ nsched=nrun; }
    if(!preempted) while(head<tail && nrun<maxseqs && tok>0){
      int r=wq[head]; int need=R[r].in+genof[r];
      int q=need<tok?need:tok; int nb=(q+15)>>4;
      if(nb>freeb) break;
      head++; Slot*s=&run[nrun]; s->r=r; s->need=need; s->done=0; s->gen=genof[r]; s->blocks=nb; freeb-=nb; sched[nrun]=q; nrun++; tok-=q; pre+=q; kv+=q; allocd_pre=1;
    }
    nsched=nrun; if(nrun>maxrun) maxrun=nrun;
    double dt=A+B*pre+C*dec+D*kv; evs++;
    if(mode==1 && pre==0 && dec==nrun && !preempted){
      /* all decode; jump k iterations while nothing changes: min remaining, blocks suffice, next arrival */
      int64_t k=1<<30; for(int i=0;i<nrun;i++){int rem=R[run[i].r].out-run[i].gen; if(rem<k)k=rem;}
      /* block constraint: number of new blocks after j more iterations; find the largest k with enough blocks */
      if(k>1){
        /* upper bound for new blocks over k-1 further iterations */
        int64_t nbk=0; for(int i=0;i<nrun;i++){ int d=run[i].done+1; nbk+=((d+(int)k-1+15)>>4)-run[i].blocks; }
        if(nbk>freeb){ int64_t lo=1,hi=k; while(lo<hi){int64_t m=(lo+hi+1)/2; int64_t x=0; for(int i=0;i<nrun;i++) x+=((run[i].done+1+(int)m-1+15)>>4)-run[i].blocks; if(x<=freeb)lo=m; else hi=m-1;} k=lo; }
        int maywait = (head<tail); /* a waiting head blocked: by maxseqs -> stays blocked; by blocks -> free only decreases -> stays blocked */
        (void)maywait;
        if(ai<n && nrun<maxseqs){ /* first iteration boundary >= arrival : t + j*dt + D*nrun*j(j-1)/2 >= ta  (if waiting non-empty FIFO, new arrival cannot pass: still no change) */
          if(head==tail){
            double ta=R[idx[ai]].t; double a2=D*nrun/2.0, b2=dt-a2; double x=ta-t; 
            double j= a2>0? (-b2+sqrt(b2*b2+4*a2*x))/(2*a2) : x/dt; int64_t ji=(int64_t)ceil(j-1e-12); if(ji<1) ji=1;
            while(ji>1 && t+(ji-1)*dt+D*nrun*((double)(ji-1)*(ji-2)/2.0)>=ta) ji--;
            while(t+ji*dt+D*nrun*((double)ji*(ji-1)/2.0)<ta) ji++;
            if(ji<k)k=ji;
          }
        }
      }
      double tot=k*dt+D*nrun*((double)k*(k-1)/2.0);
      t+=tot; iters+=k;
      for(int i=0;i<nrun;){
        Slot*s=&run[i]; s->done+=k; int nb=(s->done+15)>>4; freeb-=nb-s->blocks; s->blocks=nb; s->gen+=k;
        if(s->gen>=R[s->r].out){ R[s->r].fin=t; freeb+=s->blocks; memmove(&run[i],&run[i+1],sizeof(Slot)*(nrun-i-1)); nrun--; } else i++;
      }
      continue;
    }
    t+=dt; iters++;
    int w=0;
    for(int i=0;i<nrun;i++){
      Slot s=run[i]; 
      int q=sched[i]; 
      s.done+=q;
      int keep=1;
      if(s.done>=s.need){ s.gen++; if(s.gen==1) R[s.r].ttft=t; if(s.gen>=R[s.r].out){R[s.r].fin=t; freeb+=s.blocks; keep=0;} }
      if(keep){ run[w++]=s; }
    }
    nrun=w;
  }
  (void)cap;
  free(run);free(wq);free(wgen);free(genof);
}

/* mode 2: lazily advanced global decode counter G; every event O(log n), cost independent of batch size */
typedef struct { int r,need,done,gen,blocks,prev,next,dec; int64_t g0; int hp; } S2;
static void server2(int *idx,int n,int budget,int maxseqs,int totblocks){
  S2 *S=malloc(sizeof(S2)*(maxseqs+1)); int *fs=malloc(sizeof(int)*(maxseqs+1)),nfs=0; for(int i=maxseqs-1;i>=0;i--)fs[nfs++]=i;
  int64_t *hk=malloc(8*(maxseqs+2)); int *hs=malloc(4*(maxseqs+2)); int hn=0;
  int *wq=malloc(sizeof(int)*(2*n+16)); int head=n,tail=n; static int *genof=0; if(!genof) genof=calloc(2000000,sizeof(int));
  for(int i=0;i<n;i++) genof[idx[i]]=0;
  int first=-1,last=-1,nrun=0,ndec=0,partial=-1; int64_t G=0,kvd=0; /* kvd = sum of done over decode slots at counter G */
  int hist[16]={0}; /* hist[x]: decode slots with (done - G) mod 16 == x */
  int freeb=totblocks, ai=0; double t=0;
#define UP(i) {int _i=(i);int64_t k_=hk[_i];int s_=hs[_i];while(_i>1&&hk[_i>>1]>k_){hk[_i]=hk[_i>>1];hs[_i]=hs[_i>>1];S[hs[_i]].hp=_i;_i>>=1;}hk[_i]=k_;hs[_i]=s_;S[s_].hp=_i;}
#define DOWN(i) {int _i=(i);int64_t k_=hk[_i];int s_=hs[_i];for(;;){int c_=_i*2;if(c_>hn)break;if(c_<hn&&hk[c_+1]<hk[c_])c_++;if(hk[c_]>=k_)break;hk[_i]=hk[c_];hs[_i]=hs[c_];S[hs[_i]].hp=_i;_i=c_;}hk[_i]=k_;hs[_i]=s_;S[s_].hp=_i;}
#define HDEL(i) {int p_=(i);hk[p_]=hk[hn];hs[p_]=hs[hn];hn--;if(p_<=hn){S[hs[p_]].hp=p_;UP(p_);DOWN(S[hs[p_]].hp);}}
#define UNLINK(x) {if(S[x].prev>=0)S[S[x].prev].next=S[x].next;else first=S[x].next;if(S[x].next>=0)S[S[x].next].prev=S[x].prev;else last=S[x].prev;fs[nfs++]=x;nrun--;}
  while(1){
    if(nrun==0&&head==tail){ if(ai>=n)break; if(t<R[idx[ai]].t)t=R[idx[ai]].t; }
    while(ai<n&&R[idx[ai]].t<=t) wq[tail++]=idx[ai++];
    evs++;
    int tok=budget,pre=0,preempted=0; int64_t kvp=0; int pq=0;
    int newb=hist[(16-(int)(G&15))&15]; /* decode slots with done%16==0 need a block for this token */
    int pnb=0; if(partial>=0){ pq=S[partial].need-S[partial].done; int room=tok-ndec; if(pq>room)pq=room; pnb=((S[partial].done+pq+15)>>4)-S[partial].blocks; }
    if(newb+pnb>freeb){ /* rare path: walk in order, preempt from the tail */
      int used=0; /* blocks taken so far by walked slots */
      for(int x=first;x>=0;){ int nx=S[x].next; int nb; if(S[x].dec){ nb=(((S[x].done+(int)(G-S[x].g0))&15)==0);} else nb=pnb;
        int dead=0;
        while(used+nb>freeb){ int v=last; 
          if(S[v].dec){ int d=S[v].done+(int)(G-S[v].g0); freeb+=(d+15)>>4; kvd-=d; hist[(int)((d-G)&15)]--; ndec--; genof[S[v].r]=S[v].gen+(int)(G-S[v].g0); HDEL(S[v].hp); }
          else { freeb+=S[v].blocks; genof[S[v].r]=S[v].gen; partial=-1; pnb=0; pq=0; }
          wq[--head]=S[v].r; UNLINK(v); preempt++; preempted=1; if(v==x){dead=1;break;} }
        if(dead)break; used+=nb; nx=S[x].next; x=nx; }
      newb=hist[(16-(int)(G&15))&15];
    }
    freeb-=newb; tok-=ndec; 
    if(partial>=0){ S2*s=&S[partial]; int room=tok; if(pq>room)pq=room; int b=((s->done+pq+15)>>4); freeb-=b-s->blocks; s->blocks=b; tok-=pq; pre+=pq; kvp+=s->done+pq; }
    int a0=-1; /* admitted this step */ int adm[512],nadm=0,lastq=0;
    if(!preempted) while(head<tail&&nrun<maxseqs&&tok>0&&nadm<512){
      int r=wq[head],need=R[r].in+genof[r],q=need<tok?need:tok,nb=(q+15)>>4; if(nb>freeb)break;
      head++; int x=fs[--nfs]; S2*s=&S[x]; s->r=r;s->need=need;s->done=0;s->gen=genof[r];s->blocks=nb;s->dec=0;s->prev=last;s->next=-1; if(last>=0)S[last].next=x;else first=x; last=x; nrun++; freeb-=nb; tok-=q; pre+=q; kvp+=q; adm[nadm++]=x; lastq=q; }
    (void)a0;
    if(nrun>maxrun)maxrun=nrun;
    double dt=A+B*pre+C*ndec+D*(kvd+ndec+kvp);
    int64_t k=1;
    if(pre==0&&ndec>0&&!preempted){
      k=hk[1]-G; 
      if(k>1){ /* blocks: new blocks in iterations 2..k : each full cycle of 16 adds ndec */
        int64_t full=(k-1)/16; int64_t need=full*ndec; if(need+ndec>freeb){ /* exact limit */
            int64_t j=0,u=0; while(j<k-1){ int h=hist[(16-(int)((G+1+j)&15))&15]; if(u+h>freeb)break; u+=h; j++; } k=j+1; }
        if(ai<n&&nrun<maxseqs&&head==tail){ double ta=R[idx[ai]].t; double a2=D*ndec/2.0,b2=dt-a2,xx=ta-t; double j=a2>0?(-b2+sqrt(b2*b2+4*a2*xx))/(2*a2):xx/dt; int64_t ji=(int64_t)ceil(j-1e-12); if(ji<1)ji=1;
          while(ji>1&&t+(ji-1)*dt+D*ndec*((double)(ji-1)*(ji-2)/2.0)>=ta)ji--; while(t+ji*dt+D*ndec*((double)ji*(ji-1)/2.0)<ta)ji++; if(ji<k)k=ji; }
      }
      t+=k*dt+D*ndec*((double)k*(k-1)/2.0); iters+=k;
      /* blocks for iterations 2..k */
      { int64_t m=k-1; int64_t full=m/16; freeb-=full*ndec; int rem=m&15; for(int j=0;j<rem;j++) freeb-=hist[(16-(int)((G+1+j)&15))&15]; }
      G+=k; kvd+=k*ndec;
    } else { t+=dt; iters++; G+=1; kvd+=ndec; }
    /* prefill completions */
    int was=ndec; (void)was;
    for(int i=-1;i<nadm;i++){ int x; int q; if(i<0){ if(partial<0)continue; x=partial; q=pq; } else { x=adm[i]; q=(i==nadm-1)?lastq:S[x].need; }
      S2*s=&S[x]; s->done+=q; if(s->done>=s->need){ if(x==partial)partial=-1; s->gen++; if(s->gen==1)R[s->r].ttft=t;
          if(s->gen>=R[s->r].out){ R[s->r].fin=t; freeb+=s->blocks; UNLINK(x); }
          else { s->dec=1; s->g0=G; kvd+=s->done; hist[(int)((s->done-G)&15)]++; ndec++; hn++; hk[hn]=G+R[s->r].out-s->gen; hs[hn]=x; s->hp=hn; UP(hn); } }
      else partial=x; }
    while(hn>0&&hk[1]<=G){ int x=hs[1]; int d=S[x].done+(int)(G-S[x].g0); R[S[x].r].fin=t; freeb+=(d+15)>>4; kvd-=d; hist[(int)((d-G)&15)]--; ndec--; HDEL(1); UNLINK(x); }
  }
  free(S);free(fs);free(hk);free(hs);free(wq);
}
int main(int c,char**v){
  if(c<8){fprintf(stderr,"usage: trace N repeat budget maxseqs blocks mode [A B C D] [outfile]\n");return 1;}
  int N=atoi(v[2]),rep=atoi(v[3]),budget=atoi(v[4]),ms=atoi(v[5]),bl=atoi(v[6]),mode=atoi(v[7]);
  if(c>=12){A=atof(v[8]);B=atof(v[9]);C=atof(v[10]);D=atof(v[11]);}
  FILE*f=fopen(v[1],"r"); char l[256]; fgets(l,256,f); R=malloc(sizeof(Req)*2000000);
  double t0=-1,prev=0; double rs=getenv("RS")?atof(getenv("RS")):1;
  while(fgets(l,256,f)){int Y,M,Dd,h,m;double s;int a,b; if(sscanf(l,"%d-%d-%d %d:%d:%lf,%d,%d",&Y,&M,&Dd,&h,&m,&s,&a,&b)!=8)continue; double t=Dd*86400.0+h*3600.0+m*60.0+s; if(t0<0)t0=t; R[NR].t=(t-t0)/rs;R[NR].in=a;R[NR].out=b<1?1:b;NR++; prev=t;}
  qsort(R,NR,sizeof(Req),cmpd);
  double span=R[NR-1].t; (void)prev;
  int *idx=malloc(sizeof(int)*NR); double st=now_s(); 
  for(int r=0;r<rep;r++) for(int s=0;s<N;s++){int n=0; for(int i=s;i<NR;i+=N) idx[n++]=i; if(mode==2)server2(idx,n,budget,ms,bl); else server(idx,n,budget,ms,bl,mode);}
  double el=now_s()-st; double sf=0,st2=0,mx=0; for(int i=0;i<NR;i++){sf+=R[i].fin-R[i].t;st2+=R[i].ttft-R[i].t; if(R[i].fin>mx)mx=R[i].fin;}
  printf("N=%d budget=%d maxseqs=%d blocks=%d mode=%d: cpu %.4f s reqs/s %.4g iters %ld iters/s %.4g events %ld req_iters/s - preempt %ld maxrun %ld | span %.0f s x %d servers, sim-s(server)/s %.4g | mean ttft %.4f e2e %.4f makespan %.2f\n",N,budget,ms,bl,mode,el,(double)NR*rep/el,(long)iters/rep,iters/el,(long)evs/rep,(long)preempt/rep,(long)maxrun,span,N,span*N*rep/el,st2/NR,sf/NR,mx);
  if(c>=13){FILE*o=fopen(v[12],"w"); for(int i=0;i<NR;i++) fprintf(o,"%.17g %.17g\n",R[i].ttft,R[i].fin); fclose(o);}
}
